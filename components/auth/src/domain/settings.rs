//! What an operator may set.

use jiff::SignedDuration;

/// Life of an access token where nothing is set.
pub const ACCESS_DEFAULT: SignedDuration = SignedDuration::from_mins(15);
/// Life of a refresh token where nothing is set; each refresh begins it anew.
pub const REFRESH_DEFAULT: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Life of a session, however often it is refreshed.
pub const SESSION_LIFE: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Who issues tokens where nothing is set.
pub const ISSUER_DEFAULT: &str = "chassis";
/// Bytes of the secret that seals signing keys at least. It is stretched by nothing, so it must be random itself.
pub const SECRET_BYTES_MIN: usize = 32;

/// The variables as they were set.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    /// `access_token_expire_minutes`: whole minutes.
    pub access_token_expire_minutes: Option<String>,
    /// `jwt_expires_in`: the same as `15m`, `24h`, `7d`, or a number of seconds. The variable above wins.
    pub jwt_expires_in: Option<String>,
    /// `refresh_token_expire_days`: whole days.
    pub refresh_token_expire_days: Option<String>,
    /// `token_issuer`: the claim `iss`.
    pub token_issuer: Option<String>,
}

/// The checked settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The claim `iss` of access tokens.
    pub issuer: String,
    /// Life of an access token.
    pub access_life: SignedDuration,
    /// Life of a refresh token.
    pub refresh_life: SignedDuration,
}

/// A variable cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the variable {variable} {problem}")]
pub struct InvalidSetting {
    variable: &'static str,
    problem: &'static str,
}

impl Default for Settings {
    fn default() -> Self {
        let issuer = ISSUER_DEFAULT.to_owned();
        Self { issuer, access_life: ACCESS_DEFAULT, refresh_life: REFRESH_DEFAULT }
    }
}

impl Settings {
    /// Check the variables. An empty one counts as not set.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn read(variables: &Variables) -> Result<Self, InvalidSetting> {
        let set = |value: &Option<String>| value.as_deref().map(str::trim).filter(|v| !v.is_empty()).map(str::to_owned);
        let mut settings = Self::default();
        if let Some(issuer) = set(&variables.token_issuer) {
            settings.issuer = check_issuer(issuer)?;
        }
        if let Some(text) = set(&variables.refresh_token_expire_days) {
            let life = whole(&text).map(|days| SignedDuration::from_hours(i64::from(days) * 24));
            settings.refresh_life = within("refresh_token_expire_days", life, SESSION_LIFE)?;
        }
        let longest = SignedDuration::from_hours(24);
        if let Some(text) = set(&variables.access_token_expire_minutes) {
            let life = whole(&text).map(|minutes| SignedDuration::from_mins(i64::from(minutes)));
            settings.access_life = within("access_token_expire_minutes", life, longest)?;
        } else if let Some(text) = set(&variables.jwt_expires_in) {
            settings.access_life = within("jwt_expires_in", duration(&text), longest)?;
        }
        Ok(settings)
    }
}

fn check_issuer(issuer: String) -> Result<String, InvalidSetting> {
    let fits = issuer.len() <= 200 && issuer.bytes().all(|b| b.is_ascii_graphic());
    let problem = "must have at most 200 visible ASCII characters";
    if fits { Ok(issuer) } else { Err(InvalidSetting { variable: "token_issuer", problem }) }
}

fn whole(text: &str) -> Option<u16> {
    text.parse().ok()
}

/// A number of seconds, or a whole number with one of the units s, m, h, d.
fn duration(text: &str) -> Option<SignedDuration> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text.strip_prefix(digits)?.trim();
    let seconds_each: i64 = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let count = i64::from(digits.parse::<u32>().ok()?);
    Some(SignedDuration::from_secs(count.checked_mul(seconds_each)?))
}

fn within(
    variable: &'static str,
    life: Option<SignedDuration>,
    longest: SignedDuration,
) -> Result<SignedDuration, InvalidSetting> {
    match life {
        Some(life) if life >= SignedDuration::from_secs(1) && life <= longest => Ok(life),
        Some(_) => Err(InvalidSetting { variable, problem: "is out of bounds" }),
        None => Err(InvalidSetting { variable, problem: "is not a whole number in its unit" }),
    }
}

/// Check the secret that seals signing keys. An empty one counts as not set.
///
/// # Errors
/// It is too short to be a secret.
pub fn check_secret(secret: Option<String>) -> Result<Option<String>, InvalidSetting> {
    match secret.filter(|text| !text.is_empty()) {
        Some(text) if text.len() < SECRET_BYTES_MIN => {
            Err(InvalidSetting { variable: "secret_key", problem: "must have at least 32 random characters" })
        }
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(minutes: Option<&str>, expires_in: Option<&str>) -> Result<i64, InvalidSetting> {
        let variables = Variables {
            access_token_expire_minutes: minutes.map(Into::into),
            jwt_expires_in: expires_in.map(Into::into),
            ..Variables::default()
        };
        Settings::read(&variables).map(|settings| settings.access_life.as_secs())
    }

    #[test]
    fn defaults() {
        let settings = Settings::read(&Variables::default()).unwrap();
        assert_eq!(settings, Settings::default());
        assert_eq!(settings.access_life.as_secs(), 900);
        assert_eq!(settings.refresh_life.as_secs(), 7 * 86_400);
    }

    #[test]
    fn both_spellings_of_the_life_of_an_access_token() {
        assert_eq!(access(Some("30"), None), Ok(1800));
        assert_eq!(access(Some("30"), Some("1h")), Ok(1800));
        assert_eq!(access(Some(""), Some("24h")), Ok(86_400));
        assert_eq!(access(None, Some("900")), Ok(900));
        assert_eq!(access(None, Some("15m")), Ok(900));
        assert_eq!(access(None, Some("1d")), Ok(86_400));
        for bad in ["0", "-1", "2d", "x", "15 minutes", "1.5h", "999999999999d"] {
            assert!(access(None, Some(bad)).is_err(), "{bad}");
        }
        for bad in ["0", "1441", "15m", "-1"] {
            assert!(access(Some(bad), None).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_have_a_length() {
        assert_eq!(check_secret(None), Ok(None));
        assert_eq!(check_secret(Some(String::new())), Ok(None));
        assert!(check_secret(Some("changeme".into())).is_err());
        assert!(check_secret(Some("x".repeat(32))).is_ok());
        let error = check_secret(Some("changeme".into())).unwrap_err();
        assert!(!error.to_string().contains("changeme"));
    }

    #[test]
    fn an_issuer_is_plain_text() {
        let with = |text: &str| {
            let token_issuer = Some(text.to_owned());
            Settings::read(&Variables { token_issuer, ..Variables::default() }).map(|settings| settings.issuer)
        };
        assert_eq!(with("https://id.example.com").unwrap(), "https://id.example.com");
        assert!(with("a b").is_err());
    }
}
