//! What is made from the command lines of both programs: a document, man pages, completions.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap_complete::{Generator as _, Shell};
use zmon_testkit::skip::skip;

mod generated {
    use super::*;

    /// Set where a document is to be written rather than compared.
    const WRITE: &str = "XTASK_WRITE_DOCS";

    #[test]
    fn it_has_the_command_line() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/command-line.md");
        let text = zmon_app::cli::manual::reference();
        if variable(WRITE).is_some() {
            fs::write(&path, &text).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == text,
            "docs/command-line.md is not what the code says; run `cargo xtask docs --write`"
        );
    }
}

mod made {
    use super::*;

    /// Where `cargo xtask man` wants them.
    const OUT: &str = "XTASK_MANUAL";

    fn place(kind: &str) -> PathBuf {
        let out = variable(OUT).unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("manual"));
        let place = out.join(kind);
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(&place).unwrap();
        place
    }

    fn programs() -> [clap::Command; 2] {
        [zmon_app::cli::manual::command(), zmon_central_station::cli::command()]
    }

    #[test]
    fn it_makes_man_pages_that_a_formatter_understands() {
        let place = place("man");
        for program in programs() {
            clap_mangen::generate_to(program, &place).unwrap();
        }
        let pages: Vec<_> = fs::read_dir(&place)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        for name in [
            "zmon-provision",
            "zmon-provision-audit-list",
            "zmon-provision-check",
            "zmon-station-seal",
        ] {
            assert!(
                pages.contains(&place.join(format!("{name}.1"))),
                "{name} is missing in {pages:?}"
            );
        }
        assert!(
            pages.iter().all(|page| !page.to_str().unwrap().contains("simulate")),
            "{pages:?}"
        );
        let checkers: [&[&str]; 2] = [
            &["mandoc", "-Tlint", "-Werror"],
            &["man", "--warnings=mac", "--encoding=UTF-8", "--local-file"],
        ];
        let mut checked = false;
        for checker in checkers.iter().filter(|checker| is_there(checker[0])) {
            checked = true;
            for page in &pages {
                let output = Command::new(checker[0]).args(&checker[1..]).arg(page).output().unwrap();
                let words = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(
                    output.status.success() && words.is_empty(),
                    "{}: {words}",
                    page.display()
                );
            }
        }
        if !checked {
            skip(
                "man pages are understood by a formatter",
                "neither mandoc nor man is installed",
            );
        }
    }

    #[test]
    fn it_makes_completions_that_shells_understand() {
        let place = place("completions");
        for program in programs() {
            for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
                let script = zmon_central_station::cli::completions(program.clone(), shell);
                fs::write(place.join(shell.file_name(program.get_name())), script).unwrap();
            }
        }
        for (shell, name) in [
            ("bash", "zmon-provision.bash"),
            ("bash", "zmon-station.bash"),
            ("zsh", "_zmon-provision"),
            ("zsh", "_zmon-station"),
            ("fish", "zmon-provision.fish"),
            ("fish", "zmon-station.fish"),
        ] {
            let script = place.join(name);
            assert!(!fs::read_to_string(&script).unwrap().contains("simulate"), "{name}");
            if is_there(shell) {
                let checked = Command::new(shell).arg("-n").arg(&script).output().unwrap();
                assert!(
                    checked.status.success(),
                    "{name}: {}",
                    String::from_utf8_lossy(&checked.stderr)
                );
            }
        }
        if !is_there("bash") {
            return skip("completions complete", "bash is not installed");
        }
        let completed = |words: &str, last: &str| {
            let script = format!(
                "source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
                 registered=$(complete -p zmon-provision); completer=${{registered##*-F }}; \
                 ${{completer%% *}} zmon-provision {last} x; echo ${{COMPREPLY[@]}}",
                place.join("zmon-provision.bash").display()
            );
            let output = Command::new("bash").args(["-c", &script]).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        assert_eq!(completed("zmon-provision aud", "aud"), "audit");
        assert_eq!(completed("zmon-provision audit ver", "ver"), "verify");
    }

    fn is_there(program: &str) -> bool {
        let which = Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .output();
        which.is_ok_and(|output| output.status.success())
    }
}

#[expect(clippy::disallowed_methods, reason = "it is told by `cargo xtask`")]
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}
