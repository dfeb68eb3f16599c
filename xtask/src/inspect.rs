//! `cargo xtask inspect`: what a device binary is, against the committed expectations in `deploy/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use goblin::elf::dynamic::{DF_1_NOW, DF_1_PIE, DF_BIND_NOW};
use goblin::elf::header::{ET_DYN, machine_to_str};
use goblin::elf::program_header::{PF_X, PT_GNU_RELRO, PT_GNU_STACK};
use goblin::elf::{Elf, Sym};
use serde::Deserialize;

/// What a release for one target has to be.
#[derive(Debug)]
pub(crate) struct Expectations {
    all: Common,
    own: Own,
}

/// The committed file: what holds for every target, and a table for each.
#[derive(Debug, Deserialize)]
struct Document {
    all: Common,
    #[serde(flatten)]
    targets: BTreeMap<String, Own>,
}

/// What holds for every target.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Common {
    /// Largest size of the stripped file in bytes.
    max_bytes: u64,
    /// No symbol of a newer glibc may be needed.
    newest_glibc: String,
    /// Texts that have to stand in the file, each with what it proves.
    contains: Vec<Mark>,
    /// Texts that must not.
    never: Vec<Mark>,
}

/// What one target has for itself.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    /// Name of the ELF machine, as `AARCH64`.
    machine: String,
    /// Every library that is linked.
    libraries: Vec<String>,
    /// Whether C code is protected by the C library's stack guard, which is another at each start.
    stack_guard: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    text: String,
    proves: String,
}

impl Expectations {
    /// Those in `file` for `target`.
    pub(crate) fn read(file: &Path, target: &str) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let Document { all, mut targets } =
            toml::from_str(&text).with_context(|| format!("cannot understand {}", file.display()))?;
        let own = targets
            .remove(target)
            .with_context(|| format!("{} has no table {target}", file.display()))?;
        Ok(Self { all, own })
    }
}

/// Compares; `builder` are paths of the machine that built it, none of which may stand in the file.
///
/// # Errors
/// Names every difference.
pub(crate) fn check(binary: &Path, expected: &Expectations, builder: &[String]) -> Result<String> {
    let bytes = fs::read(binary).with_context(|| format!("cannot read {}", binary.display()))?;
    let faults = faults(&bytes, expected, builder).with_context(|| format!("{} is no ELF file", binary.display()))?;
    if !faults.is_empty() {
        bail!("{}:\n  {}", binary.display(), faults.join("\n  "));
    }
    Ok(format!("{} is as expected, {} bytes", binary.display(), bytes.len()))
}

fn faults(bytes: &[u8], expected: &Expectations, builder: &[String]) -> Result<Vec<String>> {
    let Expectations { all, own } = expected;
    let elf = Elf::parse(bytes)?;
    let mut faults = Vec::new();
    let mut expect = |good: bool, fault: String| {
        if !good {
            faults.push(fault);
        }
    };
    let machine = machine_to_str(elf.header.e_machine);
    expect(
        machine == own.machine,
        format!("it is built for {machine}, not for {}", own.machine),
    );
    expect(
        bytes.len() as u64 <= all.max_bytes,
        format!("it has {} bytes, more than {}", bytes.len(), all.max_bytes),
    );
    for library in &elf.libraries {
        expect(
            own.libraries.iter().any(|known| known == library),
            format!("it links {library}, which is not expected"),
        );
    }
    for library in &own.libraries {
        expect(
            elf.libraries.contains(&library.as_str()),
            format!("it does not link {library}; take the line out"),
        );
    }
    let flags = elf
        .dynamic
        .as_ref()
        .map_or((0, 0), |dynamic| (dynamic.info.flags, dynamic.info.flags_1));
    expect(
        elf.header.e_type == ET_DYN && flags.1 & DF_1_PIE != 0,
        "it is not position independent (PIE)".into(),
    );
    let segment = |kind| elf.program_headers.iter().find(|header| header.p_type == kind);
    expect(
        segment(PT_GNU_RELRO).is_some() && (flags.0 & DF_BIND_NOW != 0 || flags.1 & DF_1_NOW != 0),
        "its relocations are not read-only from the start (full RELRO)".into(),
    );
    expect(
        segment(PT_GNU_STACK).is_some_and(|header| header.p_flags & PF_X == 0),
        "its stack is executable".into(),
    );
    let guarded = elf
        .dynsyms
        .iter()
        .any(|symbol| name(&elf, &symbol) == Some("__stack_chk_fail"));
    expect(
        guarded || !own.stack_guard,
        "its C code has no stack protection of the C library".into(),
    );
    expect(
        !guarded || own.stack_guard,
        "its C code has the C library's stack protection; set stack_guard".into(),
    );
    expect(
        elf.syms.is_empty()
            && !elf.section_headers.iter().any(|section| {
                elf.shdr_strtab
                    .get_at(section.sh_name)
                    .is_some_and(|name| name.starts_with(".debug"))
            }),
        "it is not stripped".into(),
    );
    let newest = newest_glibc(&elf)?;
    expect(
        newest <= version(&all.newest_glibc)?,
        format!(
            "it needs glibc {}.{}, newer than {}",
            newest.0, newest.1, all.newest_glibc
        ),
    );
    for mark in &all.contains {
        expect(
            contains(bytes, &mark.text),
            format!("it does not hold {:?}: {}", mark.text, mark.proves),
        );
    }
    for mark in &all.never {
        expect(
            !contains(bytes, &mark.text),
            format!("it holds {:?}: {}", mark.text, mark.proves),
        );
    }
    for path in builder {
        expect(
            !contains(bytes, path),
            format!("it holds a path of its builder, {path}"),
        );
    }
    Ok(faults)
}

fn name<'a>(elf: &'a Elf<'_>, symbol: &Sym) -> Option<&'a str> {
    elf.dynstrtab.get_at(symbol.st_name)
}

/// The newest `GLIBC_x.y` that a symbol is wanted from.
fn newest_glibc(elf: &Elf<'_>) -> Result<(u32, u32)> {
    let mut newest = (0, 0);
    for needed in elf.verneed.iter().flat_map(goblin::elf::VerneedSection::iter) {
        for wanted in &needed {
            let text = elf.dynstrtab.get_at(wanted.vna_name).unwrap_or_default();
            if let Some(text) = text.strip_prefix("GLIBC_") {
                newest = newest.max(version(text)?);
            }
        }
    }
    Ok(newest)
}

/// `2.31`, or `2.2.5` without its last part.
fn version(text: &str) -> Result<(u32, u32)> {
    let mut parts = text.split('.').map(str::parse);
    let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
        bail!("{text:?} is no version of glibc");
    };
    ensure!(parts.all(|part| part.is_ok()), "{text:?} is no version of glibc");
    Ok((major, minor))
}

fn contains(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const HARDENED: [&str; 4] = [
        "-fPIE",
        "-pie",
        "-fstack-protector-all",
        "-Wl,-z,relro,-z,now,-z,noexecstack",
    ];

    /// What the C compiler of this machine makes of a small program.
    fn built(flags: &[&str]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let (source, program) = (folder.path().join("a.c"), folder.path().join("a"));
        fs::write(
            &source,
            "#include <stdio.h>\nint main(int c, char **v) { char b[64]; snprintf(b, 64, \"sqlcipher %s\", v[0]); puts(b); return c - 1; }\n",
        )
        .unwrap();
        let compiled = Command::new("cc")
            .arg(&source)
            .arg("-o")
            .arg(&program)
            .args(flags)
            .status()
            .unwrap();
        assert!(compiled.success());
        fs::read(program).unwrap()
    }

    fn expected() -> Expectations {
        let own = Own {
            machine: machine_to_str(Elf::parse(&built(&[])).unwrap().header.e_machine).into(),
            libraries: vec!["libc.so.6".into()],
            stack_guard: true,
        };
        let all = Common {
            max_bytes: 1 << 20,
            newest_glibc: "2.99".into(),
            contains: vec![Mark {
                text: "sqlcipher".into(),
                proves: "it encrypts".into(),
            }],
            never: vec![Mark {
                text: "aws_lc".into(),
                proves: "a second provider".into(),
            }],
        };
        Expectations { all, own }
    }

    fn good() -> Vec<u8> {
        built(&[&HARDENED[..], &["-s"]].concat())
    }

    fn first_fault(bytes: &[u8], expected: &Expectations, builder: &[String]) -> String {
        let mut faults = faults(bytes, expected, builder).unwrap();
        assert_eq!(faults.len(), 1, "{faults:#?}");
        faults.remove(0)
    }

    #[test]
    fn it_accepts_what_is_expected() {
        assert_eq!(
            faults(&good(), &expected(), &["/a/path".into()]).unwrap(),
            Vec::<String>::new()
        );
    }

    #[test]
    fn it_finds_one_library_more() {
        let more = built(&[&HARDENED[..], &["-s", "-Wl,--no-as-needed", "-lm"]].concat());
        assert_eq!(
            first_fault(&more, &expected(), &[]),
            "it links libm.so.6, which is not expected"
        );
    }

    #[test]
    fn it_finds_each_protection_that_is_missing() {
        let but = |without: &str, with: &[&str]| {
            let kept = HARDENED.into_iter().filter(|flag| *flag != without);
            built(&kept.chain(["-s"]).chain(with.iter().copied()).collect::<Vec<_>>())
        };
        for (binary, fault) in [
            (but("-pie", &["-no-pie"]), "position independent"),
            (but(HARDENED[3], &["-Wl,-z,relro,-z,lazy,-z,noexecstack"]), "RELRO"),
            (but(HARDENED[3], &["-Wl,-z,relro,-z,now,-z,execstack"]), "executable"),
            (but(HARDENED[2], &["-fno-stack-protector"]), "stack protection"),
            (built(&HARDENED), "stripped"),
        ] {
            let found = first_fault(&binary, &expected(), &[]);
            assert!(found.contains(fault), "{found}");
        }
    }

    #[test]
    fn it_finds_another_size_machine_glibc_and_content() {
        let good = good();
        let mut other = expected();
        other.all.max_bytes = 1;
        assert!(first_fault(&good, &other, &[]).contains("more than 1"));
        let mut other = expected();
        other.own.machine = "MIPS".into();
        assert!(first_fault(&good, &other, &[]).contains("not for MIPS"));
        let mut other = expected();
        other.all.newest_glibc = "2.1".into();
        assert!(first_fault(&good, &other, &[]).contains("newer than 2.1"));
        let mut other = expected();
        other.all.contains[0].text = "not there".into();
        assert!(first_fault(&good, &other, &[]).contains("it encrypts"));
        let mut other = expected();
        other.all.never[0].text = "sqlcipher".into();
        assert!(first_fault(&good, &other, &[]).contains("a second provider"));
        assert!(first_fault(&good, &expected(), &["sqlcipher %s".into()]).contains("path of its builder"));
    }

    #[test]
    fn it_refuses_what_is_no_binary() {
        assert!(faults(b"text", &expected(), &[]).is_err());
    }
}
