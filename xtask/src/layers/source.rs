//! What a package's code says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// What the source text of a package must and must not say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceRule {
    /// A line of `src/lib.rs`.
    root_line: String,
    /// Words that stand in no line of code; comments and test modules may use them.
    never: BTreeSet<String>,
}

/// Every line below `folder` that breaks the rule.
pub(super) fn faults(rule: &SourceRule, folder: &Path) -> Result<Vec<String>> {
    let root = folder.join("lib.rs");
    let mut faults = Vec::new();
    if !std::fs::read_to_string(&root)?
        .lines()
        .any(|line| line == rule.root_line)
    {
        faults.push(format!("{}: lacks the line {}", root.display(), rule.root_line));
    }
    for file in rust_files(folder)? {
        let text = std::fs::read_to_string(&file)?;
        for (line, word) in forbidden_words(&text, &rule.never) {
            faults.push(format!(
                "{}:{line}: says `{word}`, which this crate never does",
                file.display()
            ));
        }
    }
    Ok(faults)
}

/// Every Rust file below `folder`.
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Every word of the code below `folder`.
pub(super) fn words(folder: &Path) -> Result<BTreeSet<String>> {
    let mut words = BTreeSet::new();
    for file in rust_files(folder)? {
        words.extend(words_of(&std::fs::read_to_string(&file)?).map(str::to_owned));
    }
    Ok(words)
}

/// The words of code; lines that are comments have none.
fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split(|c: char| !(c.is_alphanumeric() || c == '_')))
}

/// Line number and word, for the code before a file's test module.
fn forbidden_words<'a>(text: &str, never: &'a BTreeSet<String>) -> Vec<(usize, &'a str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.trim().starts_with("#[cfg(test)]"))
        .flat_map(|(number, line)| {
            words_of(line)
                .filter_map(|word| never.get(word))
                .map(move |word| (number + 1, word.as_str()))
                .collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_forbidden_words_in_code_but_not_in_comments_longer_words_and_tests() {
        let never = BTreeSet::from(["std".to_owned(), "async".to_owned()]);
        let text =
            "//! no std\n#![no_std]\nuse std::time;\nlet a = \"asynchronous\"; async {}\n#[cfg(test)]\nuse std;\n";
        assert_eq!(forbidden_words(text, &never), [(3, "std"), (4, "async")]);
    }

    #[test]
    fn it_notices_that_the_line_which_makes_a_crate_no_std_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("lib.rs"), "//! #![no_std] is only a word here\n").unwrap();
        let rule = SourceRule {
            root_line: "#![no_std]".to_owned(),
            never: BTreeSet::new(),
        };
        assert_eq!(faults(&rule, folder.path()).unwrap().len(), 1);
        std::fs::write(folder.path().join("lib.rs"), "#![no_std]\n").unwrap();
        assert!(faults(&rule, folder.path()).unwrap().is_empty());
    }
}
