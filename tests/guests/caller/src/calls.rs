//! The calls themselves.

use crate::bindings::test::calls::{passage, target};
use crate::{Asked, samples};

/// What became of a call.
pub(crate) enum Outcome {
    Answer(String),
    /// The provider said no.
    Refused(String),
    /// The host said that there is no answer: the name of the case.
    Unavailable(&'static str),
    /// There is no such function.
    Unknown,
}

/// Makes a call, with what its function takes of all that was asked.
pub(crate) async fn make(function: &str, asked: Asked) -> Outcome {
    let Asked { ms, url, bytes } = asked;
    match function {
        "echo" => echo().await,
        "refuse" => target::refuse("because".to_owned()).await.into(),
        "long" => target::refuse("x".repeat(bytes)).await.into(),
        "log" => target::log("a line of the provider".to_owned()).await.into(),
        "slow" => target::slow(ms).await.into(),
        "fetch" => target::fetch(url).await.into(),
        "trap" => target::trap().await.into(),
        "spin" => target::spin().await.into(),
        "hang" => target::hang().await.into(),
        "passage" => passage::slow(ms).await.into(),
        _ => Outcome::Unknown,
    }
}

/// Sends every sample, and compares what comes back.
async fn echo() -> Outcome {
    let samples = samples::all();
    let number = samples.len();
    for sample in samples {
        let expected = target::Everything { text: sample.text.chars().rev().collect(), ..sample.clone() };
        match target::echo(sample).await {
            Ok(answer) if answer == expected => {}
            Ok(answer) => return Outcome::Answer(format!("{answer:?} is not {expected:?}")),
            Err(error) => return Err(error).into(),
        }
    }
    Outcome::Answer(format!("{number} values unchanged"))
}

impl From<Result<String, target::Error>> for Outcome {
    fn from(result: Result<String, target::Error>) -> Self {
        match result {
            Ok(answer) => Self::Answer(answer),
            Err(target::Error::Refused(why)) => Self::Refused(why),
            Err(target::Error::Unavailable(failure)) => Self::Unavailable(match failure {
                target::CallFailure::Missing => "missing",
                target::CallFailure::Trapped => "trapped",
                target::CallFailure::Deadline => "deadline",
                target::CallFailure::TooDeep => "too-deep",
                target::CallFailure::Overloaded => "overloaded",
            }),
        }
    }
}

impl From<Result<String, passage::Error>> for Outcome {
    fn from(result: Result<String, passage::Error>) -> Self {
        match result {
            Ok(answer) => Self::Answer(answer),
            Err(passage::Error::Refused(why)) => Self::Refused(why),
            Err(passage::Error::Unavailable(failure)) => Self::Unavailable(match failure {
                passage::CallFailure::Missing => "missing",
                passage::CallFailure::Trapped => "trapped",
                passage::CallFailure::Deadline => "deadline",
                passage::CallFailure::TooDeep => "too-deep",
                passage::CallFailure::Overloaded => "overloaded",
            }),
        }
    }
}
