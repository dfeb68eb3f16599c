//! The page's own files, compiled in. They hold no secret and need no token.

use bytes::Bytes;
use serde_json::{Value, json};
use zmon_domain::error::ErrorCode;
use zmon_domain::identity::DeviceId;

use super::{Language, Theme};

const PAGE: &str = include_str!("../../page/index.html");
const ENGLISH: &str = include_str!("../../page/en.json");
const SPANISH: &str = include_str!("../../page/es.json");

/// Files that are served as they are: path, media type, contents.
const AS_THEY_ARE: [(&str, &str, &str); 4] = [
    (
        "/kiosk.css",
        "text/css; charset=utf-8",
        include_str!("../../page/kiosk.css"),
    ),
    (
        "/page.js",
        "text/javascript; charset=utf-8",
        include_str!("../../page/page.js"),
    ),
    (
        "/service.js",
        "text/javascript; charset=utf-8",
        include_str!("../../page/service.js"),
    ),
    ("/icon.svg", "image/svg+xml", include_str!("../../page/icon.svg")),
];

#[derive(Debug)]
pub(super) struct File {
    path: &'static str,
    pub(super) media_type: &'static str,
    pub(super) bytes: Bytes,
}

#[derive(Debug)]
pub(super) struct Files(Vec<File>);

impl Files {
    pub(super) fn new(language: Language, theme: Theme, device_id: &DeviceId) -> Self {
        let file = |(path, media_type, bytes): (_, _, &'static str)| File {
            path,
            media_type,
            bytes: bytes.into(),
        };
        let mut files: Vec<_> = AS_THEY_ARE.map(file).into();
        // None of the three has a character that means something in HTML.
        let page = PAGE
            .replace("{{language}}", language.as_str())
            .replace("{{theme}}", theme.as_str())
            .replace("{{device}}", device_id.as_str());
        files.push(File {
            path: "/",
            media_type: "text/html; charset=utf-8",
            bytes: page.into(),
        });
        for (path, catalogue) in [("/texts/EN.json", english()), ("/texts/ES.json", catalogue(SPANISH))] {
            files.push(File {
                path,
                media_type: "application/json",
                bytes: catalogue.to_string().into(),
            });
        }
        Self(files)
    }

    pub(super) fn at(&self, path: &str) -> Option<&File> {
        self.0.iter().find(|file| file.path == path)
    }
}

fn catalogue(text: &str) -> Value {
    // A test reads both.
    serde_json::from_str(text).unwrap_or_default()
}

/// What failures are called in English stands in the domain's catalogue already.
fn english() -> Value {
    let mut texts = catalogue(ENGLISH);
    for code in ErrorCode::ALL {
        let entry = code.entry();
        texts["errors"][entry.name] =
            json!({ "what": entry.title, "why": entry.usual_cause, "next": entry.next_action });
    }
    texts
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// `a.b.c` for every text, with the names of its placeholders.
    fn keys(texts: &Value, above: &str, found: &mut BTreeSet<(String, BTreeSet<String>)>) {
        match texts {
            Value::Object(members) => {
                for (name, value) in members {
                    keys(value, &format!("{above}.{name}"), found);
                }
            }
            Value::String(text) => {
                assert!(!text.trim().is_empty(), "{above} is empty");
                let places = text.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
                let places = places.map(|(name, _)| name.to_owned()).collect();
                assert!(found.insert((above.to_owned(), places)));
            }
            other => panic!("{above}: {other}"),
        }
    }

    fn all(texts: &Value) -> BTreeSet<(String, BTreeSet<String>)> {
        let mut found = BTreeSet::new();
        keys(texts, "", &mut found);
        found
    }

    #[test]
    fn says_the_same_in_every_language() {
        let (english, spanish) = (all(&english()), all(&catalogue(SPANISH)));
        let differ: Vec<_> = english.symmetric_difference(&spanish).collect();
        assert!(differ.is_empty(), "in one language alone: {differ:#?}");
    }

    #[test]
    fn has_what_why_and_next_for_every_code_in_every_language() {
        for texts in [english(), catalogue(SPANISH)] {
            for code in ErrorCode::ALL {
                for member in ["what", "why", "next"] {
                    assert!(texts["errors"][code.as_str()][member].is_string(), "{code} {member}");
                }
            }
            assert_eq!(texts["errors"].as_object().unwrap().len(), ErrorCode::ALL.len());
        }
        assert_eq!(catalogue(ENGLISH)["errors"], Value::Null, "these are in the domain");
    }

    #[test]
    fn repeats_no_english_text_in_spanish() {
        let (english, spanish) = (english(), catalogue(SPANISH));
        for code in ErrorCode::ALL {
            for member in ["what", "why", "next"] {
                let name = code.as_str();
                assert_ne!(
                    english["errors"][name][member], spanish["errors"][name][member],
                    "{name}"
                );
            }
        }
    }

    /// Texts by name in the page and in its scripts; a name that no catalogue has would be an empty place on the screen.
    #[test]
    fn uses_every_text_and_no_other() {
        let script = AS_THEY_ARE[1].2;
        let sources = format!("{PAGE}{script}");
        let mut used = BTreeSet::new();
        for before in ["data-text=\"", "data-label=\"", "dataset.label = \"", "say(\""] {
            let names = sources.split(before).skip(1).filter_map(|rest| rest.split('"').next());
            used.extend(names.map(str::to_owned));
        }
        used.extend(["phases", "warnings"].map(String::from));
        let had: BTreeSet<_> = catalogue(ENGLISH).as_object().unwrap().keys().cloned().collect();
        let differ: Vec<_> = used.symmetric_difference(&had).collect();
        assert!(differ.is_empty(), "used or there alone: {differ:#?}");
    }

    #[test]
    fn knows_the_phases_by_the_names_of_the_domain() {
        use zmon_domain::status::Phase;
        let names: BTreeSet<_> = catalogue(ENGLISH)["phases"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        assert_eq!(
            names,
            Phase::ALL.iter().map(|phase| phase.as_str().to_owned()).collect()
        );
        for name in &names {
            assert!(PAGE.contains(&format!("data-phase=\"{name}\"")), "{name}");
        }
    }

    #[test]
    fn knows_every_warning_of_the_storage() {
        use zmon_ports::StorageWarning;
        let names: BTreeSet<_> = catalogue(ENGLISH)["warnings"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        let known = [StorageWarning::FormerKeyKept, StorageWarning::StatusUncertain];
        assert_eq!(names, known.iter().map(|warning| warning.as_str().to_owned()).collect());
    }

    #[test]
    fn leaves_no_placeholder_in_the_page() {
        let device = DeviceId::parse("ZM-1").unwrap();
        let files = Files::new(Language::Spanish, Theme::Dark, &device);
        let page = String::from_utf8(files.at("/").unwrap().bytes.to_vec()).unwrap();
        assert!(!page.contains("{{"), "{page}");
        assert!(page.contains("data-language=\"ES\"") && page.contains("data-theme=\"dark\"") && page.contains("ZM-1"));
    }
}
