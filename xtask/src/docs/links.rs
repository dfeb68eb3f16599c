//! Whether what a document points at exists: links, headings, paths, commands, packages.

use std::collections::BTreeMap;
use std::path::Path;

/// First parts of paths that a document may name in backticks.
const FOLDERS: [&str; 8] = [
    "crates/", "docs/", "xtask/", "tests/", "deploy/", "fuzz/", ".ci/", ".cargo/",
];
/// How every package and program of this workspace is called.
const PREFIX: &str = "zmon-";

/// What there is to point at.
pub(super) struct Known<'a> {
    pub(super) root: &'a Path,
    /// Subcommands of `cargo xtask`.
    pub(super) commands: &'a [String],
    /// Packages and programs.
    pub(super) packages: &'a [String],
}

impl Known<'_> {
    /// Line number and fault of everything in `text`, the content of `document`, that does not exist.
    pub(super) fn faults(&self, document: &Path, text: &str) -> Vec<(usize, String)> {
        let mut faults = Vec::new();
        let mut in_fence = false;
        for (number, line) in text.lines().enumerate() {
            let mut found = Vec::new();
            if line.trim_start().starts_with("```") {
                in_fence = !in_fence;
            } else {
                found.extend(self.command_faults(line));
                if !in_fence {
                    found.extend(targets(line).filter_map(|target| self.link_fault(document, text, target)));
                    found.extend(spans(line).filter_map(|span| self.name_fault(span)));
                }
            }
            faults.extend(found.into_iter().map(|fault| (number + 1, fault)));
        }
        faults
    }

    fn command_faults(&self, line: &str) -> Vec<String> {
        line.split("cargo xtask ")
            .skip(1)
            .filter_map(|rest| rest.split(|c: char| !(c.is_ascii_lowercase() || c == '-')).next())
            .filter(|word| {
                !word.is_empty() && !word.starts_with('-') && !self.commands.iter().any(|known| known == word)
            })
            .map(|word| format!("there is no `cargo xtask {word}`"))
            .collect()
    }

    fn link_fault(&self, document: &Path, text: &str, target: &str) -> Option<String> {
        if target.contains("://") || target.starts_with("mailto:") {
            return None;
        }
        let (path, heading) = target
            .split_once('#')
            .map_or((target, None), |(path, part)| (path, Some(part)));
        let file = document.parent().unwrap_or(self.root).join(path);
        let exists = match heading {
            None => file.exists(),
            Some(heading) if path.is_empty() => has_heading(text, heading),
            Some(heading) => std::fs::read_to_string(&file).is_ok_and(|text| has_heading(&text, heading)),
        };
        (!exists).then(|| format!("the link {target} leads nowhere"))
    }

    /// A function by its file and name, as in `tests/tests/vectors.rs::name`.
    fn function_fault(&self, span: &str) -> Option<String> {
        let (file, name) = span.split_once("::").filter(|(file, _)| file.ends_with(".rs"))?;
        let text = std::fs::read_to_string(self.root.join(file)).unwrap_or_default();
        let exists = text.contains(&format!("fn {name}("));
        (!exists).then(|| format!("there is no function {name} in `{file}`"))
    }

    fn name_fault(&self, span: &str) -> Option<String> {
        if let Some(fault) = self.function_fault(span) {
            return Some(fault);
        }
        if !span.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c)) {
            return None;
        }
        if FOLDERS.iter().any(|folder| span.starts_with(folder)) && !self.root.join(span).exists() {
            return Some(format!("there is no `{span}` in the repository"));
        }
        let is_name = span.starts_with(PREFIX) && !span.contains(['/', '.']);
        if is_name && !self.packages.iter().any(|known| known == span) {
            return Some(format!("there is no package or program `{span}`"));
        }
        None
    }
}

/// The targets of inline links and images.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next())
}

/// What stands between single backticks.
fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Headings become anchors as on GitHub: lower case, spaces to hyphens, punctuation dropped, repeats numbered.
fn has_heading(text: &str, anchor: &str) -> bool {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let slug: String = line
                .trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_')
                .map(|c| if c == ' ' { '-' } else { c })
                .collect();
            let count = seen.entry(slug.clone()).or_default();
            *count += 1;
            if *count == 1 {
                slug
            } else {
                format!("{slug}-{}", *count - 1)
            }
        })
        .any(|slug| slug == anchor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("docs")).unwrap();
        std::fs::create_dir_all(root.path().join("crates/domain")).unwrap();
        std::fs::write(
            root.path().join("docs/other.md"),
            "# Title\n## What, now?\n## What now\n",
        )
        .unwrap();
        std::fs::write(root.path().join("docs/code.rs"), "fn known() {}\n").unwrap();
        let known = Known {
            root: root.path(),
            commands: &["test".to_owned()],
            packages: &["zmon-domain".to_owned()],
        };
        let document = root.path().join("docs/page.md");
        known
            .faults(&document, text)
            .into_iter()
            .map(|(line, fault)| format!("{line}: {fault}"))
            .collect()
    }

    #[test]
    fn it_accepts_what_exists() {
        let text = "# Here\n[a](other.md) [b](other.md#what-now) [c](#here) [d](https://example.org/x) [e](../crates/domain)\n\
                    `crates/domain`, `zmon-domain`, `crates/*`, `cargo xtask test`, [f](other.md#what-now-1)\n\
                    ```\n[g](missing.md) `crates/missing`\n```\n";
        assert_eq!(faults(text), Vec::<String>::new());
    }

    #[test]
    fn it_refuses_a_link_to_a_missing_file() {
        assert_eq!(faults("\n[a](missing.md)"), ["2: the link missing.md leads nowhere"]);
    }

    #[test]
    fn it_refuses_a_link_to_a_missing_heading() {
        assert_eq!(
            faults("[a](other.md#nothing)"),
            ["1: the link other.md#nothing leads nowhere"]
        );
        assert_eq!(faults("[a](#nothing)"), ["1: the link #nothing leads nowhere"]);
    }

    #[test]
    fn it_refuses_a_missing_path() {
        assert_eq!(
            faults("see `crates/missing/src`"),
            ["1: there is no `crates/missing/src` in the repository"]
        );
    }

    #[test]
    fn it_refuses_a_function_that_is_not_in_its_file() {
        let fault = |file, name| format!("1: there is no function {name} in `{file}`");
        assert_eq!(
            faults("`docs/code.rs::known` and `zmon_domain::step`"),
            Vec::<String>::new()
        );
        assert_eq!(faults("`docs/code.rs::other`"), [fault("docs/code.rs", "other")]);
        assert_eq!(faults("`docs/code.rs::know`"), [fault("docs/code.rs", "know")]);
        assert_eq!(faults("`docs/missing.rs::known`"), [fault("docs/missing.rs", "known")]);
    }

    #[test]
    fn it_refuses_an_unknown_command_inside_and_outside_of_a_fence() {
        assert_eq!(
            faults("`cargo xtask fly`\n```\ncargo xtask swim --far\n```"),
            ["1: there is no `cargo xtask fly`", "3: there is no `cargo xtask swim`"]
        );
    }

    #[test]
    fn it_refuses_an_unknown_package() {
        assert_eq!(
            faults("`zmon-nothing`"),
            ["1: there is no package or program `zmon-nothing`"]
        );
    }
}
