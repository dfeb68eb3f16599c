//! `cargo xtask layers`: who may name whom is data in `xtask/layers.toml`; this compares it with the manifests.

mod source;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use cargo_metadata::DependencyKind;
use serde::Deserialize;

use crate::workspace::Workspace;
use source::SourceRule;

/// The wall, as written down.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Walls {
    /// The layers from the inside out. A package may depend only on packages of layers before its own.
    order: Vec<String>,
    /// Packages whose name in code is not theirs with underscores.
    #[serde(default)]
    name_in_code: BTreeMap<String, String>,
    package: BTreeMap<String, Allowed>,
}

/// What one package may name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowed {
    layer: String,
    #[serde(default)]
    normal: BTreeSet<String>,
    #[serde(default)]
    dev: BTreeSet<String>,
    #[serde(default)]
    build: BTreeSet<String>,
    /// Why a surprising dependency is allowed.
    #[serde(default)]
    why: BTreeMap<String, String>,
    /// Dependencies that are linked, or there for their features, and that no code names.
    #[serde(default)]
    unnamed: BTreeSet<String>,
    source: Option<SourceRule>,
}

impl Allowed {
    fn of(&self, kind: Kind) -> &BTreeSet<String> {
        match kind {
            Kind::Normal => &self.normal,
            Kind::Dev => &self.dev,
            Kind::Build => &self.build,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Normal,
    Dev,
    Build,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Normal, Self::Dev, Self::Build];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Dev => "dev",
            Self::Build => "build",
        }
    }
}

/// What one manifest declares.
struct Declared {
    package: String,
    edges: BTreeSet<(Kind, String)>,
    /// Every word of its code.
    words: BTreeSet<String>,
}

/// Compares; the answer is a line for the person who asked.
///
/// # Errors
/// Every difference between the manifests and `xtask/layers.toml`.
pub(crate) fn check(workspace: &Workspace) -> Result<String> {
    let file = workspace.root().join("xtask/layers.toml");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let walls: Walls = toml::from_str(&text).context("xtask/layers.toml is not what it should be")?;
    let declared = workspace
        .packages()
        .iter()
        .map(declared_by)
        .collect::<Result<Vec<_>>>()?;
    let mut faults = compare(&walls, &declared);
    for package in workspace.packages() {
        if let Some(rule) = walls
            .package
            .get(package.name.as_str())
            .and_then(|found| found.source.as_ref())
        {
            let folder = package.manifest_path.with_file_name("src");
            faults.extend(source::faults(rule, folder.as_std_path())?);
        }
    }
    if !faults.is_empty() {
        bail!(
            "the layers do not hold (see docs/architecture.md and xtask/layers.toml):\n  {}",
            faults.join("\n  ")
        );
    }
    let edges: usize = declared.iter().map(|found| found.edges.len()).sum();
    Ok(format!(
        "layers: {} packages, {edges} dependencies, as written down",
        declared.len()
    ))
}

fn declared_by(package: &cargo_metadata::Package) -> Result<Declared> {
    let mut edges = BTreeSet::new();
    for dependency in &package.dependencies {
        let kind = match dependency.kind {
            DependencyKind::Normal => Kind::Normal,
            DependencyKind::Development => Kind::Dev,
            DependencyKind::Build => Kind::Build,
            DependencyKind::Unknown => bail!("{} depends on {} in an unknown way", package.name, dependency.name),
        };
        edges.insert((kind, dependency.name.clone()));
    }
    Ok(Declared {
        package: package.name.to_string(),
        edges,
        words: source::words(package.manifest_path.with_file_name("").as_std_path())?,
    })
}

/// Every fault, one line each.
fn compare(walls: &Walls, declared: &[Declared]) -> Vec<String> {
    let mut faults = Vec::new();
    let members: BTreeSet<&str> = declared.iter().map(|found| found.package.as_str()).collect();
    for name in walls.package.keys().filter(|name| !members.contains(name.as_str())) {
        faults.push(format!("{name}: stands in layers.toml but not in the workspace"));
    }
    for found in declared {
        let name = &found.package;
        let Some(allowed) = walls.package.get(name) else {
            faults.push(format!("{name}: has no entry in layers.toml; say what it may name"));
            continue;
        };
        for (kind, dependency) in &found.edges {
            if !allowed.of(*kind).contains(dependency) {
                faults.push(format!(
                    "{name}: may not name {dependency} as a {} dependency",
                    kind.as_str()
                ));
            }
        }
        for kind in Kind::ALL {
            for dependency in allowed.of(kind) {
                if !found.edges.contains(&(kind, dependency.clone())) {
                    let kind = kind.as_str();
                    faults.push(format!(
                        "{name}: is allowed {dependency} as a {kind} dependency but does not use it"
                    ));
                }
            }
        }
        for reason in allowed.why.keys() {
            if !Kind::ALL.iter().any(|kind| allowed.of(*kind).contains(reason)) {
                faults.push(format!("{name}: gives a reason for {reason}, which it is not allowed"));
            }
        }
        faults.extend(unused_faults(walls, name, allowed, found));
        faults.extend(order_faults(walls, name, allowed, found));
    }
    faults
}

/// Dependencies that the code never names, and such that are only said to be so.
fn unused_faults(walls: &Walls, name: &str, allowed: &Allowed, found: &Declared) -> Vec<String> {
    let dependencies: BTreeSet<&String> = found.edges.iter().map(|(_, dependency)| dependency).collect();
    let named = |dependency: &str| {
        let word = walls.name_in_code.get(dependency).cloned();
        found
            .words
            .contains(&word.unwrap_or_else(|| dependency.replace('-', "_")))
    };
    let unused = dependencies
        .iter()
        .filter(|dependency| !named(dependency) && !allowed.unnamed.contains(dependency.as_str()))
        .map(|dependency| format!("{name}: depends on {dependency}, which its code never names"));
    let wrongly = allowed
        .unnamed
        .iter()
        .filter(|dependency| named(dependency) || !dependencies.contains(dependency))
        .map(|dependency| format!("{name}: {dependency} is not an unnamed dependency"));
    unused.chain(wrongly).collect()
}

/// Dependencies point inward; those of tests may point anywhere.
fn order_faults(walls: &Walls, name: &str, allowed: &Allowed, found: &Declared) -> Vec<String> {
    let rank = |layer: &str| walls.order.iter().position(|known| known == layer);
    let Some(own) = rank(&allowed.layer) else {
        return vec![format!("{name}: its layer {} is not in the order", allowed.layer)];
    };
    let mut faults = Vec::new();
    for (kind, dependency) in &found.edges {
        let Some(other) = walls.package.get(dependency) else {
            continue;
        };
        if *kind == Kind::Dev {
            continue;
        }
        if rank(&other.layer).is_some_and(|theirs| theirs >= own) {
            faults.push(format!(
                "{name} ({}): depends on {dependency} ({}), which is not further inside",
                allowed.layer, other.layer
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALLS: &str = r#"
        order = ["inner", "outer", "test"]
        [package.core]
        layer = "inner"
        normal = ["subtle"]
        [package.shell]
        layer = "outer"
        normal = ["core", "tokio"]
        dev = ["kit"]
        why.tokio = "it waits"
        [package.kit]
        layer = "test"
        normal = ["core"]
    "#;

    fn walls(text: &str) -> Walls {
        toml::from_str(text).unwrap()
    }

    fn declared(package: &str, edges: &[(Kind, &str)]) -> Declared {
        Declared {
            package: package.to_owned(),
            edges: edges.iter().map(|(kind, name)| (*kind, (*name).to_owned())).collect(),
            words: ["subtle", "core", "tokio", "kit", "serde", "shell"]
                .map(str::to_owned)
                .into(),
        }
    }

    fn house() -> Vec<Declared> {
        vec![
            declared("core", &[(Kind::Normal, "subtle")]),
            declared(
                "shell",
                &[(Kind::Normal, "core"), (Kind::Normal, "tokio"), (Kind::Dev, "kit")],
            ),
            declared("kit", &[(Kind::Normal, "core")]),
        ]
    }

    #[test]
    fn it_accepts_a_house_that_is_as_written_down() {
        assert_eq!(compare(&walls(WALLS), &house()), Vec::<String>::new());
    }

    #[test]
    fn it_refuses_a_forbidden_edge() {
        let mut house = house();
        house[0].edges.insert((Kind::Normal, "serde".to_owned()));
        assert_eq!(
            compare(&walls(WALLS), &house),
            ["core: may not name serde as a normal dependency"]
        );
    }

    #[test]
    fn it_tells_the_kinds_of_dependency_apart() {
        let mut house = house();
        house[0].edges.insert((Kind::Build, "subtle".to_owned()));
        assert_eq!(
            compare(&walls(WALLS), &house),
            ["core: may not name subtle as a build dependency"]
        );
    }

    #[test]
    fn it_refuses_an_allowance_that_nobody_uses() {
        let mut house = house();
        house[1].edges.remove(&(Kind::Normal, "tokio".to_owned()));
        assert_eq!(
            compare(&walls(WALLS), &house),
            ["shell: is allowed tokio as a normal dependency but does not use it"]
        );
    }

    #[test]
    fn it_refuses_a_dependency_that_the_code_never_names() {
        let mut house = house();
        house[1].words.remove("tokio");
        assert_eq!(
            compare(&walls(WALLS), &house),
            ["shell: depends on tokio, which its code never names"]
        );
        let text = WALLS.replace("why.tokio", "unnamed = [\"tokio\"]\nwhy.tokio");
        assert_eq!(compare(&walls(&text), &house), Vec::<String>::new());
        house[1].words.insert("tokio".to_owned());
        assert_eq!(
            compare(&walls(&text), &house),
            ["shell: tokio is not an unnamed dependency"]
        );
    }

    #[test]
    fn it_knows_packages_under_the_name_that_code_uses() {
        let mut house = house();
        house[0].words.remove("subtle");
        house[0].words.insert("fine".to_owned());
        let text = format!("name_in_code.subtle = \"fine\"\n{WALLS}");
        assert_eq!(compare(&walls(&text), &house), Vec::<String>::new());
    }

    #[test]
    fn it_refuses_a_reason_without_an_allowance() {
        let text = WALLS.replace("why.tokio", "why.hyper");
        assert_eq!(
            compare(&walls(&text), &house()),
            ["shell: gives a reason for hyper, which it is not allowed"]
        );
    }

    #[test]
    fn it_refuses_a_package_without_an_entry() {
        let mut house = house();
        house.push(declared("annex", &[]));
        assert_eq!(
            compare(&walls(WALLS), &house),
            ["annex: has no entry in layers.toml; say what it may name"]
        );
    }

    #[test]
    fn it_refuses_an_entry_without_a_package() {
        let mut house = house();
        house.truncate(2);
        assert_eq!(
            compare(&walls(WALLS), &house),
            ["kit: stands in layers.toml but not in the workspace"]
        );
    }

    #[test]
    fn it_refuses_a_test_package_as_a_normal_dependency_even_where_that_is_allowed() {
        let text = WALLS.replace(
            "normal = [\"core\", \"tokio\"]",
            "normal = [\"core\", \"tokio\", \"kit\"]",
        );
        let mut house = house();
        house[1].edges.insert((Kind::Normal, "kit".to_owned()));
        assert_eq!(
            compare(&walls(&text), &house),
            ["shell (outer): depends on kit (test), which is not further inside"]
        );
    }

    #[test]
    fn it_refuses_a_dependency_that_points_outward_even_where_that_is_allowed() {
        let text = WALLS.replace("normal = [\"subtle\"]", "normal = [\"subtle\", \"shell\"]");
        let mut house = house();
        house[0].edges.insert((Kind::Normal, "shell".to_owned()));
        assert_eq!(
            compare(&walls(&text), &house),
            ["core (inner): depends on shell (outer), which is not further inside"]
        );
    }

    #[test]
    fn it_refuses_a_layer_outside_the_order() {
        let text = WALLS.replace("layer = \"outer\"", "layer = \"cellar\"");
        assert_eq!(
            compare(&walls(&text), &house()),
            ["shell: its layer cellar is not in the order"]
        );
    }
}
