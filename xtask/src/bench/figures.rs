//! What is computed of measurements: medians, ranges, ratios, and whether an aim is met.

use std::fmt;

use serde::Serialize;

/// The median of some runs, and the range that they cover.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// None of no values, or of any that is no number.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        if sorted.iter().any(|value| !value.is_finite()) {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let above = *sorted.get(sorted.len() / 2)?;
        let below = *sorted.get((sorted.len() - 1) / 2)?;
        Some(Self { median: f64::midpoint(below, above), least, most })
    }

    /// Of the ratios of each run to its partner in the same round. Partners ran one after the other, so that what
    /// slows the machine for a minute slows both.
    pub(crate) fn of_ratios(values: &[f64], partners: &[f64]) -> Option<Self> {
        if values.len() != partners.len() {
            return None;
        }
        Self::of(&values.iter().zip(partners).map(|(value, partner)| value / partner).collect::<Vec<_>>())
    }
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Unit {
    /// A part of something else: 0.3 is written as 30 %.
    Part,
    /// So many times something else.
    Times,
    /// Megabytes, of a million bytes.
    Megabytes,
    /// Seconds.
    Seconds,
}

impl Unit {
    /// A value of this unit, as it is written.
    pub(crate) fn written(self, value: f64) -> String {
        match self {
            Self::Part => format!("{:.0} %", value * 100.0),
            Self::Times => format!("{value:.2} x"),
            Self::Megabytes => format!("{value:.0} MB"),
            Self::Seconds => format!("{value:.3} s"),
        }
    }
}

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Aim {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

impl Aim {
    pub(crate) fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
            Self::Below(bound) => value < bound,
        }
    }

    fn written(self, unit: Unit) -> String {
        match self {
            Self::AtLeast(bound) => format!(">= {}", unit.written(bound)),
            Self::AtMost(bound) => format!("<= {}", unit.written(bound)),
            Self::Below(bound) => format!("< {}", unit.written(bound)),
        }
    }
}

/// One figure beside its aim.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) what: String,
    /// Its unit.
    pub(crate) unit: Unit,
    /// The runs.
    pub(crate) spread: Spread,
    /// What it should be.
    pub(crate) aim: Aim,
    /// Whether the median is so.
    pub(crate) met: bool,
}

impl Figure {
    pub(crate) fn new(what: impl Into<String>, unit: Unit, spread: Spread, aim: Aim) -> Self {
        Self { what: what.into(), unit, spread, aim, met: aim.is_met(spread.median) }
    }
}

impl fmt::Display for Figure {
    /// One line of the summary.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, unit, spread, aim, met } = self;
        let range = format!("({} .. {})", unit.written(spread.least), unit.written(spread.most));
        let verdict = if *met { "met" } else { "missed" };
        let (median, aim) = (unit.written(spread.median), aim.written(*unit));
        write!(f, "{what:<64} {median:>9} {range:<24} aim {aim:<10} {verdict}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        let spread = Spread::of(&[30.0, 10.0, 20.0]).unwrap();
        assert_eq!(spread, Spread { median: 20.0, least: 10.0, most: 30.0 });
        assert_eq!(Spread::of(&[7.0]).unwrap(), Spread { median: 7.0, least: 7.0, most: 7.0 });
        assert_eq!(Spread::of(&[4.0, 1.0, 3.0, 2.0]).unwrap().median, 2.5);
    }

    #[test]
    fn nothing_and_no_numbers_have_no_median() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[1.0, f64::NAN]), None);
        assert_eq!(Spread::of(&[1.0, f64::INFINITY]), None);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // A machine that was half as fast in the second round changes nothing.
        let spread = Spread::of_ratios(&[30.0, 15.0, 33.0], &[100.0, 50.0, 100.0]).unwrap();
        assert_eq!(spread, Spread { median: 0.3, least: 0.3, most: 0.33 });
        assert_eq!(Spread::of_ratios(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(Spread::of_ratios(&[1.0], &[0.0]), None);
    }

    #[test]
    fn aims_are_exact_at_their_bounds() {
        assert!(Aim::AtLeast(0.3).is_met(0.3) && !Aim::AtLeast(0.3).is_met(0.299));
        assert!(Aim::AtMost(2.0).is_met(2.0) && !Aim::AtMost(2.0).is_met(2.001));
        assert!(Aim::Below(100.0).is_met(99.9) && !Aim::Below(100.0).is_met(100.0));
    }

    #[test]
    fn a_line_has_figure_range_aim_and_verdict() {
        let spread = Spread { median: 0.284, least: 0.27, most: 0.301 };
        let line = Figure::new("hello", Unit::Part, spread, Aim::AtLeast(0.3)).to_string();
        for part in ["hello ", "28 %", "(27 % .. 30 %)", "aim >= 30 %", "missed"] {
            assert!(line.contains(part), "«{line}» lacks «{part}»");
        }
        let spread = Spread { median: 0.4, least: 0.3, most: 0.5 };
        let line = Figure::new("first answer", Unit::Seconds, spread, Aim::Below(1.0)).to_string();
        assert!(line.contains("0.400 s") && line.contains("aim < 1.000 s") && line.ends_with(" met"), "{line}");
    }
}
