//! The monitor's database behind the device's back: as somebody opens it who has its keys.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a helper of a test fails as the test itself"
)]

use std::fs;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use zmon_domain::secret::SecretBytes;
use zmon_sqlcipher_certstore::unwrap;

/// Runs statements on the database at `path`; no service may have it open. The key source is the file `source`.
pub async fn change(path: &Path, source: &Path, statements: &str) {
    let mut connection = open(path, source).await;
    connection.execute(AssertSqlSafe(statements.to_owned())).await.unwrap();
    connection.close().await.unwrap();
}

/// The names of the tables that the device's migrations have made, in alphabetical order.
#[must_use]
pub async fn tables(path: &Path, source: &Path) -> Vec<String> {
    let mut connection = open(path, source).await;
    // Of the others one is sqlx's, which notes the migrations there.
    let query = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB '_sqlx_*' ORDER BY name";
    let tables = sqlx::query_scalar(query).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    tables
}

async fn open(path: &Path, source: &Path) -> SqliteConnection {
    let mut source: [u8; 32] = fs::read(source).unwrap().try_into().unwrap();
    let wrapped = fs::read(format!("{}-key", path.display())).unwrap();
    let key = unwrap(&wrapped, &SecretBytes::take(&mut source)).unwrap();
    let digits: String = key.expose().iter().map(|byte| format!("{byte:02x}")).collect();
    let options = SqliteConnectOptions::new().filename(path).disable_statement_logging();
    let mut connection: SqliteConnection = options.connect().await.unwrap();
    let pragma = format!("PRAGMA key = \"x'{digits}'\"");
    connection.execute(AssertSqlSafe(pragma)).await.unwrap();
    connection
}
