//! The commands of the README and the answers that it promises: the README executes.
//!
//! A block of `sh` is a command. The block of `text` or `json` that follows it, before any other `sh`, is its answer, in
//! which `...` stands for anything.

/// A command and what it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Example {
    /// Lines for a shell.
    pub(crate) command: String,
    /// Its answer, if the text shows one.
    pub(crate) answer: Option<String>,
}

/// All examples of a Markdown text, in order.
pub(crate) fn examples(markdown: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let text = block.join("\n");
        match (language, examples.last_mut()) {
            ("sh", _) => examples.push(Example { command: text, answer: None }),
            ("text" | "json", Some(example)) if example.answer.is_none() => example.answer = Some(text),
            _ => {}
        }
    }
    examples
}

/// Whether an answer is what was promised: the pieces between `...` occur in order, and the ends are the ends.
pub(crate) fn matches(promised: &str, answered: &str) -> bool {
    let (promised, mut rest) = (promised.trim(), answered.trim());
    let pieces: Vec<&str> = promised.split("...").collect();
    let [first, middle @ .., last] = pieces.as_slice() else {
        return promised == rest;
    };
    let Some(after) = rest.strip_prefix(first) else { return false };
    rest = after;
    for piece in middle {
        let Some(start) = rest.find(piece) else { return false };
        rest = rest.get(start + piece.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[test]
fn examples_are_found_with_their_answers() {
    let text =
        "```sh\na\nb\n```\nso:\n\n```text\nx\n```\n```text\nnot an answer\n```\n```sh\nc\n```\n```toml\nd\n```\n";
    let found = examples(text);
    assert_eq!(
        found,
        [Example { command: "a\nb".into(), answer: Some("x".into()) }, Example { command: "c".into(), answer: None },]
    );
}

#[test]
fn an_answer_matches_when_all_pieces_occur_in_order() {
    assert!(matches("a", "a\n"));
    assert!(matches("{\"id\":\"...\",\"b\":1}", "{\"id\":\"77\",\"b\":1}"));
    assert!(matches("{...hello...}", "{\"x\":\"hello\"}"));
    assert!(!matches("a", "ab"));
    assert!(!matches("a...c", "abcd"));
    assert!(!matches("a...b...c", "acb...c".get(..3).unwrap()));
    assert!(!matches("x...x", "x"), "the two ends do not share a letter");
}
