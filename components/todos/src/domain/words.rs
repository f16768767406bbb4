//! The closed lists of words that a todo's members are taken from.

use chassis_values::violation::Rule;

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// All of them, as they are written.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// As it is written.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// Read it. Letter case counts.
            ///
            /// # Errors
            /// It is none of these words.
            pub fn parse(text: &str) -> Result<Self, Rule> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(Rule::new("unknown-value", format!("must be one of {}", Self::WORDS.join(", ")))),
                }
            }
        }
    };
}

words! {
    /// How far a todo is.
    Status {
        /// Nobody has begun.
        #[default]
        Open = "open",
        /// It is being worked on.
        InProgress = "inProgress",
        /// Nothing is left of it.
        Done = "done",
    }
}

words! {
    /// How much a todo matters.
    Priority {
        /// Less than others.
        Low = "low",
        /// As others.
        #[default]
        Normal = "normal",
        /// More than others.
        High = "high",
    }
}

words! {
    /// The order of a listing. A minus means: greatest first.
    Sort {
        /// The newest first.
        #[default]
        NewestFirst = "-createdAt",
        /// The oldest first.
        OldestFirst = "createdAt",
        /// What is due first comes first; what is never due comes last.
        DueFirst = "dueAt",
        /// What was changed last comes first.
        ChangedFirst = "-updatedAt",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_as_itself() {
        for word in Status::WORDS {
            assert_eq!(Status::parse(word).unwrap().as_str(), *word);
        }
        for word in Priority::WORDS {
            assert_eq!(Priority::parse(word).unwrap().as_str(), *word);
        }
        for word in Sort::WORDS {
            assert_eq!(Sort::parse(word).unwrap().as_str(), *word);
        }
        assert_eq!(Status::WORDS, ["open", "inProgress", "done"]);
        assert_eq!(Priority::WORDS, ["low", "normal", "high"]);
    }

    #[test]
    fn other_words_are_refused_with_the_list() {
        for word in ["", "Open", "in_progress", "inprogress", "closed"] {
            let rule = Status::parse(word).unwrap_err();
            assert_eq!(rule.code, "unknown-value");
            assert!(rule.detail.contains("open, inProgress, done"), "{}", rule.detail);
        }
    }
}
