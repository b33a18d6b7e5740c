//! Times as RFC 3339 writes them.

/// 9999-12-31T23:59:59.999Z, the last time that RFC 3339 can write.
const LAST_MS: u64 = 253_402_300_799_999;

/// Milliseconds since 1970-01-01T00:00:00Z as `2026-11-21T10:00:00.000Z`. Days become a date by the rule of 400-year eras
/// that begin on the first of March (Hinnant, "chrono-compatible low-level date algorithms").
pub fn time_text(milliseconds: u64) -> String {
    let milliseconds = milliseconds.min(LAST_MS);
    let (days, in_day) = (milliseconds / 86_400_000, milliseconds % 86_400_000);
    let since_era = days + 719_468;
    let (era, day_of_era) = (since_era / 146_097, since_era % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + 400 * era + u64::from(month <= 2);
    let (hours, minutes, seconds) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", in_day % 1_000)
}
