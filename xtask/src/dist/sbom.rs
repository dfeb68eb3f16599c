//! What is in a program: a software bill of materials (CycloneDX 1.5, JSON).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::{DependencyKind, Metadata, Package, PackageId};
use cyclonedx_bom::external_models::uri::Purl;
use cyclonedx_bom::models::bom::{Bom, SpecVersion};
use cyclonedx_bom::models::component::{Classification, Component, Components};
use cyclonedx_bom::models::dependency::{Dependencies, Dependency};
use cyclonedx_bom::models::hash::{Hash, HashAlgorithm, HashValue, Hashes};
use cyclonedx_bom::models::license::{LicenseChoice, Licenses};
use cyclonedx_bom::models::metadata::Metadata as BomMetadata;
use cyclonedx_bom::prelude::{DateTime, Validate as _};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{PACKAGE, Source, Target, openssl};
use crate::process;
use crate::workspace::Workspace;

/// The bill of materials of the device's program for `target`. The same source gives the same bytes.
pub(super) fn write(workspace: &Workspace, metadata: &Metadata, source: &Source, target: Target) -> Result<Vec<u8>> {
    let linked = linked(workspace, target)?;
    let checksums = checksums(workspace)?;
    let packages: BTreeMap<&PackageId, &Package> = metadata
        .packages
        .iter()
        .filter(|package| linked.contains(&format!("{} v{}", package.name, package.version)))
        .map(|package| (&package.id, package))
        .collect();
    let root = packages
        .values()
        .find(|package| package.name == PACKAGE)
        .with_context(|| format!("cargo does not know {PACKAGE}"))?;
    let mut components: Vec<_> = packages
        .values()
        .filter(|package| package.id != root.id)
        .map(|package| component(package, &checksums))
        .collect::<Result<_>>()?;
    components.push(c_library("SQLCipher", &sqlcipher(metadata)?)?);
    components.push(c_library("OpenSSL", &openssl::package(metadata)?.version.build)?);
    components.sort_by(|one, other| one.bom_ref.cmp(&other.bom_ref));
    let made: i64 = source.seconds.parse().context("git tells seconds")?;
    let bom = Bom {
        // One that is drawn by lot would make each build another.
        serial_number: None,
        spec_version: SpecVersion::V1_5,
        metadata: Some(BomMetadata {
            timestamp: Some(DateTime::try_from(
                OffsetDateTime::from_unix_timestamp(made)?.format(&Rfc3339)?,
            )?),
            component: Some(Component {
                component_type: Classification::Application,
                ..component(root, &checksums)?
            }),
            ..BomMetadata::default()
        }),
        components: Some(Components(components)),
        dependencies: Some(dependencies(metadata, &packages)?),
        ..Bom::default()
    };
    let verdict = bom.validate_version(SpecVersion::V1_5);
    ensure!(verdict.passed(), "the bill of materials is not valid: {verdict:?}");
    let mut text = Vec::new();
    bom.output_as_json_v1_5(&mut text)?;
    Ok(text)
}

/// `NAME vVERSION` of every package that is linked into the device's program.
fn linked(workspace: &Workspace, target: Target) -> Result<BTreeSet<String>> {
    let mut tree = workspace.plain_cargo("tree");
    tree.args([
        "--locked",
        "-p",
        PACKAGE,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--target",
        target.triple(),
    ]);
    let tree = process::output(&mut tree)?;
    let name_and_version = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    Ok(tree.lines().map(name_and_version).collect())
}

/// SHA-256 of each package from a registry, by name and version.
fn checksums(workspace: &Workspace) -> Result<BTreeMap<(String, String), String>> {
    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Locked>,
    }
    #[derive(Deserialize)]
    struct Locked {
        name: String,
        version: String,
        checksum: Option<String>,
    }
    let lock: Lock = toml::from_str(&fs::read_to_string(workspace.root().join("Cargo.lock"))?)?;
    Ok(lock
        .package
        .into_iter()
        .filter_map(|package| Some(((package.name, package.version), package.checksum?)))
        .collect())
}

fn component(package: &Package, checksums: &BTreeMap<(String, String), String>) -> Result<Component> {
    let version = package.version.to_string();
    let purl = Purl::new("cargo", &package.name, &version)?;
    let checksum = checksums.get(&(package.name.to_string(), version.clone()));
    Ok(Component {
        licenses: package
            .license
            .as_deref()
            // Cargo's older way to say "or".
            .map(|license| Licenses(vec![LicenseChoice::expression(&license.replace('/', " OR "))])),
        hashes: checksum.map(|sum| {
            Hashes(vec![Hash {
                alg: HashAlgorithm::SHA_256,
                content: HashValue(sum.clone()),
            }])
        }),
        purl: Some(purl),
        ..Component::new(
            Classification::Library,
            &package.name,
            &version,
            Some(reference(package)),
        )
    })
}

fn reference(package: &Package) -> String {
    format!("{}@{}", package.name, package.version)
}

/// C code that a package brings, and which no package manager knows.
fn c_library(name: &str, version: &str) -> Result<Component> {
    Ok(Component {
        purl: Some(Purl::new("generic", &name.to_lowercase(), version)?),
        ..Component::new(
            Classification::Library,
            name,
            version,
            Some(format!("{name}@{version}")),
        )
    })
}

/// The version that SQLCipher's own source tells.
fn sqlcipher(metadata: &Metadata) -> Result<String> {
    let mut packages = metadata.packages.iter();
    let package = packages.find(|package| package.name == "libsqlite3-sys");
    let package = package.context("no package brings SQLCipher")?;
    let text = fs::read_to_string(package.manifest_path.with_file_name("sqlcipher").join("sqlite3.c"))?;
    let after = text
        .split_once("#define CIPHER_VERSION_NUMBER ")
        .map(|(_, after)| after);
    let version = after.and_then(|after| after.split_whitespace().next());
    Ok(version
        .context("SQLCipher's source does not tell its version")?
        .to_owned())
}

/// Who needs whom.
fn dependencies(metadata: &Metadata, packages: &BTreeMap<&PackageId, &Package>) -> Result<Dependencies> {
    let resolved = metadata.resolve.as_ref().context("cargo resolved nothing")?;
    let mut dependencies: Vec<_> = resolved
        .nodes
        .iter()
        .filter_map(|node| {
            let needs = node.deps.iter().filter(|dependency| {
                dependency
                    .dep_kinds
                    .iter()
                    .any(|kind| kind.kind == DependencyKind::Normal)
            });
            Some(Dependency {
                dependency_ref: reference(packages.get(&node.id)?),
                dependencies: needs
                    .filter_map(|needed| Some(reference(packages.get(&needed.pkg)?)))
                    .collect(),
            })
        })
        .collect();
    dependencies.sort_by(|one, other| one.dependency_ref.cmp(&other.dependency_ref));
    Ok(Dependencies(dependencies))
}
