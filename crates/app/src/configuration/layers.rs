//! Defaults, file, environment and command line, one over the other; every value keeps its origin.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use config::{Config, ConfigError, Environment, FileFormat, Format, Map, Source, Value, ValueKind};

use super::fault::{Fault, Faults};
use super::keys::{self, Key, Kind};

/// Where configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// The environment of the process; foreign variables are ignored.
    pub environment: Vec<(OsString, OsString)>,
    /// `--set`, in the order given.
    pub set: Vec<(String, String)>,
}

impl Inputs {
    /// A variable of the environment that is no key.
    pub(super) fn variable(&self, name: &str) -> Option<&OsString> {
        let found = self.environment.iter().find(|(variable, _)| variable == name)?;
        Some(&found.1)
    }
}

/// The values that count, and what was wrong so far.
#[derive(Debug)]
pub(super) struct Reader {
    values: BTreeMap<String, Value>,
    faults: Vec<Fault>,
}

impl Reader {
    /// Puts the layers over one another; unknown keys and unreadable layers are faults.
    pub(super) fn new(inputs: &Inputs) -> Self {
        let mut faults = Vec::new();
        let layers = [
            file_layer(inputs.file.as_deref(), &mut faults),
            environment_layer(&inputs.environment, &mut faults),
            inputs
                .set
                .iter()
                .map(|(key, value)| (key.clone(), Value::new(Some(&"--set".into()), value.as_str())))
                .collect(),
        ];
        let values = merge(layers.map(|layer| known(layer, &mut faults))).unwrap_or_else(|fault| {
            // Keys of the table are plain paths, so that nothing is left to go wrong here.
            faults.push(Fault::new("configuration", None, fault.to_string()));
            BTreeMap::new()
        });
        Self { values, faults }
    }

    /// The key's value; a missing one is none, a faulty one is none and a fault.
    pub(super) fn read<T>(&mut self, key: &Key, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let parsed = text(key, self.values.get(key.name)?).and_then(|text| parse(&text));
        if parsed.is_none() {
            self.fault(key, format!("expected {}", key.expected));
        }
        parsed
    }

    /// The key's value; a missing one is a fault too.
    pub(super) fn require<T>(&mut self, key: &Key, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        if !self.is_set(key) {
            let name = key.name;
            let variable = key.environment_variable();
            self.fault(
                key,
                format!(
                    "expected {}; set it in the file, as {variable} or with --set {name}=...",
                    key.expected
                ),
            );
        }
        self.read(key, parse)
    }

    pub(super) fn is_set(&self, key: &Key) -> bool {
        self.values.contains_key(key.name)
    }

    /// Whether somebody set it: a default does not count.
    pub(super) fn is_given(&self, key: &Key) -> bool {
        self.values.get(key.name).is_some_and(|value| value.origin().is_some())
    }

    /// The key's value as it stands, for a person.
    pub(super) fn shown(&self, key: &Key) -> Option<String> {
        self.values.get(key.name).map(|value| value.kind.to_string())
    }

    /// Notes a fault of this key, with the origin of its value.
    pub(super) fn fault(&mut self, key: &Key, what: impl Into<String>) {
        let fault = self.fault_of(key, what);
        self.note(fault);
    }

    /// A fault of this key, with the origin of its value.
    pub(super) fn fault_of(&self, key: &Key, what: impl Into<String>) -> Fault {
        Fault::new(self.origin(key), Some(key.name), what)
    }

    pub(super) fn note(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    pub(super) fn has_faults(&self) -> bool {
        !self.faults.is_empty()
    }

    /// Where the key's value comes from.
    pub(super) fn origin(&self, key: &Key) -> String {
        match self.values.get(key.name) {
            Some(value) => value.origin().unwrap_or("default").into(),
            None => "not set".into(),
        }
    }

    /// `value`, where nothing was wrong.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Faults> {
        match value {
            Some(value) if self.faults.is_empty() => Ok(value),
            _ => Err(Faults(self.faults)),
        }
    }
}

/// A flat layer: dotted keys to values that know their origin.
#[derive(Clone, Debug, Default)]
struct Layer(Vec<(String, Value)>);

impl FromIterator<(String, Value)> for Layer {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.iter().cloned().collect())
    }
}

fn merge(layers: [Layer; 3]) -> Result<BTreeMap<String, Value>, ConfigError> {
    let mut builder = Config::builder();
    for key in keys::ALL {
        if let Some(default) = key.default {
            builder = builder.set_default(key.name, default)?;
        }
    }
    for layer in layers {
        builder = builder.add_source(layer);
    }
    let merged = builder.build()?.collect()?;
    Ok(flatten(merged).0.into_iter().collect())
}

/// Takes unknown keys out of a layer and notes them: merged, they could hide each other.
fn known(layer: Layer, faults: &mut Vec<Fault>) -> Layer {
    let is_known = |name: &str| keys::ALL.iter().any(|key| key.name == name);
    let (known, unknown): (Vec<_>, Vec<_>) = layer.0.into_iter().partition(|(name, _)| is_known(name));
    faults.extend(unknown.into_iter().map(|(name, value)| {
        let hint = nearest(&name).map_or_else(String::new, |key| format!("; did you mean {key}?"));
        Fault::new(
            value.origin().unwrap_or_default(),
            Some(&name),
            format!("unknown key{hint}"),
        )
    }));
    Layer(known)
}

/// The known key that a mistyped one most probably means.
fn nearest(name: &str) -> Option<&'static str> {
    keys::ALL
        .iter()
        .map(|key| (strsim::jaro_winkler(name, key.name), key.name))
        .filter(|(likeness, _)| *likeness > 0.85)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

fn file_layer(named: Option<&Path>, faults: &mut Vec<Fault>) -> Layer {
    let path = named.unwrap_or(Path::new(keys::DEFAULT_FILE));
    let origin = path.display().to_string();
    let content = match std::fs::read_to_string(path) {
        Ok(content) => content,
        Err(fault) if named.is_none() && fault.kind() == ErrorKind::NotFound => return Layer::default(),
        Err(fault) => {
            faults.push(Fault::new(origin, None, format!("the file cannot be read: {fault}")));
            return Layer::default();
        }
    };
    FileFormat::Toml.parse(Some(&origin), &content).map_or_else(
        |fault| {
            faults.push(Fault::new(origin, None, toml_fault(&*fault, &content)));
            Layer::default()
        },
        flatten,
    )
}

/// What is wrong and in which line, without the line itself.
fn toml_fault(fault: &(dyn std::error::Error + Send + Sync + 'static), content: &str) -> String {
    let Some(fault) = fault.downcast_ref::<toml::de::Error>() else {
        return "the file is not TOML that this version reads".into();
    };
    let before = fault.span().and_then(|span| content.get(..span.start));
    let line = before.map_or_else(String::new, |before| {
        format!(" in line {}", before.matches('\n').count() + 1)
    });
    format!("the file is not TOML{line}: {}", fault.message())
}

fn environment_layer(environment: &[(OsString, OsString)], faults: &mut Vec<Fault>) -> Layer {
    let prefix = format!("{}_", keys::ENVIRONMENT_PREFIX);
    let mut ours = Map::new();
    for (name, value) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with(&prefix)) else {
            continue;
        };
        match value.to_str() {
            Some(value) => {
                ours.insert(name.into(), value.into());
            }
            None => faults.push(Fault::new(origin_of(name), None, "expected UTF-8")),
        }
    }
    let source = Environment::with_prefix(keys::ENVIRONMENT_PREFIX)
        .prefix_separator("_")
        .separator("__")
        .source(Some(ours));
    source
        .collect()
        .unwrap_or_default()
        .into_iter()
        .map(|(key, value)| {
            let name = format!("{prefix}{}", key.to_uppercase().replace('.', "__"));
            (key, Value::new(Some(&origin_of(&name)), value.kind))
        })
        .collect()
}

fn origin_of(variable: &str) -> String {
    format!("environment variable {variable}")
}

fn flatten(table: Map<String, Value>) -> Layer {
    let mut flat = Layer::default();
    flatten_into("", table, &mut flat);
    flat
}

fn flatten_into(prefix: &str, table: Map<String, Value>, flat: &mut Layer) {
    for (name, value) in table {
        let name = format!("{prefix}{name}");
        match value.kind {
            ValueKind::Table(table) => flatten_into(&format!("{name}."), table, flat),
            _ => flat.0.push((name, value)),
        }
    }
}

/// The value as it would stand in the environment; none where its TOML type is not the key's.
fn text(key: &Key, value: &Value) -> Option<String> {
    match (&value.kind, key.kind) {
        (ValueKind::String(text), _) => Some(text.clone()),
        (ValueKind::Boolean(flag), Kind::Flag) => Some(flag.to_string()),
        (ValueKind::I64(number), Kind::Number) => Some(number.to_string()),
        (ValueKind::Array(items), Kind::List) => {
            let texts = items.iter().map(|item| match &item.kind {
                ValueKind::String(text) => Some(text.as_str()),
                _ => None,
            });
            serde_json::to_string(&texts.collect::<Option<Vec<_>>>()?).ok()
        }
        _ => None,
    }
}
