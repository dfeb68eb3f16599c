//! The list of devices: a CSV file, row by row.

use std::fs::File;
use std::path::{Path, PathBuf};

use csv::{Position, ReaderBuilder, StringRecord, Trim};
use serde::Serialize;
use zmon_domain::identity::DeviceId;
use zmon_domain::settings::{DeviceLabel, Language, MeasurementUnit, ServerUrl, SyncInterval};

use crate::fault::Fault;
use crate::values::{device, label, language, server_url, sync_interval, unit};

/// Every column that a list may have; `picture` and `label` it must have.
pub const COLUMNS: [&str; 8] = [
    "picture",
    "label",
    "device_id",
    "server_url",
    "sync_interval",
    "unit",
    "language",
    "server_cert",
];

/// What stands for a missing column or an empty cell.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// The central server; without it every row needs its own.
    pub server_url: Option<ServerUrl>,
    /// Seconds between synchronisations.
    pub sync_interval: SyncInterval,
    /// Units on the screen.
    pub measurement_unit: MeasurementUnit,
    /// Language on the screen.
    pub language: Language,
    /// File with the server's certificate to pin.
    pub server_certificate: Option<PathBuf>,
}

/// One device of the list. Holds names of files, not what is in them.
#[derive(Clone, Debug)]
pub struct Row {
    /// Line of the file, counted from 1.
    pub line: u64,
    /// Picture of the screen.
    pub picture: PathBuf,
    /// What people call the monitor.
    pub label: DeviceLabel,
    /// The device that the picture has to show.
    pub device_id: Option<DeviceId>,
    /// The central server.
    pub server_url: ServerUrl,
    /// Seconds between synchronisations.
    pub sync_interval: SyncInterval,
    /// Units on the screen.
    pub measurement_unit: MeasurementUnit,
    /// Language on the screen.
    pub language: Language,
    /// File with the server's certificate to pin.
    pub server_certificate: Option<PathBuf>,
}

/// What is wrong with one cell, or with a row as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowFault {
    /// Line of the file, counted from 1.
    pub line: u64,
    /// The column, where it is one cell's fault.
    pub column: Option<&'static str>,
    /// What is wrong.
    pub detail: String,
}

/// The rows of a list, read one at a time.
pub struct Fleet<R> {
    reader: csv::Reader<R>,
    columns: Vec<Option<usize>>,
    width: usize,
    folder: PathBuf,
    defaults: Defaults,
    record: StringRecord,
    /// The source failed: nothing comes after that.
    broken: bool,
}

impl Fleet<File> {
    /// Opens a list. Files in it are relative to its folder.
    ///
    /// # Errors
    /// Where it cannot be read; the inner result where its header is at fault.
    pub fn open(path: &Path, defaults: &Defaults) -> Result<Result<Self, Vec<RowFault>>, Fault> {
        let file = File::open(path).map_err(crate::home::at("read", path))?;
        Ok(Self::read(file, path.parent().unwrap_or(Path::new("")), defaults))
    }
}

impl<R: std::io::Read> Fleet<R> {
    /// Reads the header of a list.
    ///
    /// # Errors
    /// Every fault of the header.
    pub fn read(source: R, folder: &Path, defaults: &Defaults) -> Result<Self, Vec<RowFault>> {
        let mut reader = ReaderBuilder::new().flexible(true).trim(Trim::All).from_reader(source);
        let fault = |detail: String| RowFault {
            line: 1,
            column: None,
            detail,
        };
        let header = reader
            .headers()
            .cloned()
            .map_err(|_| vec![fault("The header is not UTF-8 text.".into())])?;
        let names: Vec<&str> = header.iter().map(|name| name.trim_start_matches('\u{feff}')).collect();
        let mut faults = Vec::new();
        for (index, name) in names.iter().enumerate() {
            if !COLUMNS.contains(name) {
                let columns = COLUMNS.join(", ");
                faults.push(fault(format!(
                    "Column {} of the header is none of {columns}.",
                    index + 1
                )));
            } else if names.iter().take(index).any(|earlier| earlier == name) {
                faults.push(fault(format!("The header names {name} twice.")));
            }
        }
        for required in ["picture", "label"] {
            if !names.contains(&required) {
                faults.push(fault(format!("The header lacks the column {required}.")));
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self {
            columns: COLUMNS
                .iter()
                .map(|column| names.iter().position(|name| name == column))
                .collect(),
            width: names.len(),
            reader,
            folder: folder.into(),
            defaults: defaults.clone(),
            record: StringRecord::new(),
            broken: false,
        })
    }

    fn row(&self, line: u64) -> Result<Row, Vec<RowFault>> {
        if self.record.len() != self.width {
            let detail = format!(
                "The row has {} cells, the header has {}.",
                self.record.len(),
                self.width
            );
            return Err(vec![RowFault {
                line,
                column: None,
                detail,
            }]);
        }
        let mut cells = Cells {
            fleet: self,
            line,
            faults: Vec::new(),
        };
        let picture = cells.required("picture", |text| Ok::<_, String>(self.folder.join(text)));
        let label = cells.required("label", label);
        let device_id = cells.optional("device_id", device);
        let server_url = cells
            .optional("server_url", server_url)
            .or_else(|| self.defaults.server_url.clone());
        if server_url.is_none() && cells.cell("server_url").is_empty() {
            cells.fault("server_url", "is empty, and there is no --server-url".into());
        }
        let sync_interval = cells.optional("sync_interval", sync_interval);
        let measurement_unit = cells.optional("unit", unit);
        let language = cells.optional("language", language);
        let server_certificate = cells.optional("server_cert", |text| Ok(self.folder.join(text)));
        match (picture, label, server_url) {
            (Some(picture), Some(label), Some(server_url)) if cells.faults.is_empty() => Ok(Row {
                line,
                picture,
                label,
                device_id,
                server_url,
                sync_interval: sync_interval.unwrap_or(self.defaults.sync_interval),
                measurement_unit: measurement_unit.unwrap_or(self.defaults.measurement_unit),
                language: language.unwrap_or_else(|| self.defaults.language.clone()),
                server_certificate: server_certificate.or_else(|| self.defaults.server_certificate.clone()),
            }),
            _ => Err(cells.faults),
        }
    }
}

impl<R: std::io::Read> Iterator for Fleet<R> {
    type Item = Result<Row, Vec<RowFault>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken {
            return None;
        }
        let mut record = std::mem::take(&mut self.record);
        let read = self.reader.read_record(&mut record);
        self.record = record;
        match read {
            Ok(false) => None,
            Ok(true) => Some(self.row(self.record.position().map_or(0, Position::line))),
            Err(error) => {
                self.broken = error.is_io_error();
                Some(Err(vec![RowFault {
                    line: error.position().unwrap_or(self.reader.position()).line(),
                    column: None,
                    detail: if self.broken {
                        format!("The list cannot be read further: {error}.")
                    } else {
                        "The row is not UTF-8 text.".into()
                    },
                }]))
            }
        }
    }
}

struct Cells<'a, R> {
    fleet: &'a Fleet<R>,
    line: u64,
    faults: Vec<RowFault>,
}

impl<R> Cells<'_, R> {
    fn cell(&self, column: &str) -> String {
        let index = COLUMNS.iter().position(|name| *name == column);
        let index = index.and_then(|index| self.fleet.columns[index]);
        index
            .and_then(|index| self.fleet.record.get(index))
            .unwrap_or_default()
            .into()
    }

    fn fault(&mut self, column: &'static str, detail: String) {
        self.faults.push(RowFault {
            line: self.line,
            column: Some(column),
            detail,
        });
    }

    fn optional<T>(&mut self, column: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let cell = self.cell(column);
        if cell.is_empty() {
            return None;
        }
        parse(&cell).map_err(|fault| self.fault(column, fault)).ok()
    }

    fn required<T>(&mut self, column: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        if self.cell(column).is_empty() {
            self.fault(column, "is empty".into());
        }
        self.optional(column, parse)
    }
}
