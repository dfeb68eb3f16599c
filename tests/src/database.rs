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
    let mut source: [u8; 32] = fs::read(source).unwrap().try_into().unwrap();
    let wrapped = fs::read(format!("{}-key", path.display())).unwrap();
    let key = unwrap(&wrapped, &SecretBytes::take(&mut source)).unwrap();
    let digits: String = key.expose().iter().map(|byte| format!("{byte:02x}")).collect();
    let options = SqliteConnectOptions::new().filename(path).disable_statement_logging();
    let mut connection: SqliteConnection = options.connect().await.unwrap();
    let pragma = format!("PRAGMA key = \"x'{digits}'\"");
    connection.execute(AssertSqlSafe(pragma)).await.unwrap();
    connection.execute(AssertSqlSafe(statements.to_owned())).await.unwrap();
    connection.close().await.unwrap();
}
