//! The row that says what administrators did. Everything here is called inside a transaction.

use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;
use zmon_domain::result::DestructionRecord;
use zmon_domain::status::Retirement;

use crate::fault::Fault;

/// The whole row.
pub(crate) struct Administration {
    pub(crate) pin_misses: u32,
    pub(crate) retirement: Option<Retirement>,
    pub(crate) destruction: Option<DestructionRecord>,
}

pub(crate) async fn read(connection: &mut SqliteConnection) -> Result<Administration, Fault> {
    let row = sqlx::query("SELECT pin_misses, retirement, destruction FROM administration")
        .fetch_one(connection)
        .await?;
    let pin_misses: i64 = row.try_get("pin_misses")?;
    let retirement: Option<&str> = row.try_get("retirement")?;
    let known =
        |name| Retirement::from_name(name).ok_or_else(|| Fault::refused("the stored retirement is none that exists"));
    let destruction: Option<String> = row.try_get("destruction")?;
    Ok(Administration {
        // More than fit are as bad as many.
        pin_misses: u32::try_from(pin_misses).unwrap_or(u32::MAX),
        retirement: retirement.map(known).transpose()?,
        destruction: destruction.map(DestructionRecord),
    })
}

/// Adds one and gives the new count.
pub(crate) async fn count_pin_miss(connection: &mut SqliteConnection) -> Result<u32, Fault> {
    sqlx::query("UPDATE administration SET pin_misses = min(pin_misses + 1, ?)")
        .bind(i64::from(u32::MAX))
        .execute(&mut *connection)
        .await?;
    Ok(read(connection).await?.pin_misses)
}

pub(crate) async fn forget_pin_misses(connection: &mut SqliteConnection) -> Result<(), Fault> {
    sqlx::query("UPDATE administration SET pin_misses = 0")
        .execute(connection)
        .await?;
    Ok(())
}

pub(crate) async fn write_retirement(
    connection: &mut SqliteConnection,
    retirement: Option<Retirement>,
) -> Result<(), Fault> {
    sqlx::query("UPDATE administration SET retirement = ?")
        .bind(retirement.map(Retirement::as_str))
        .execute(connection)
        .await?;
    Ok(())
}

pub(crate) async fn write_destruction(
    connection: &mut SqliteConnection,
    record: &DestructionRecord,
) -> Result<(), Fault> {
    sqlx::query("UPDATE administration SET destruction = ?")
        .bind(&record.0)
        .execute(connection)
        .await?;
    Ok(())
}
