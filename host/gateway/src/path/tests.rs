use proptest::prelude::*;

use super::{Spelling, Verdict, judge};

fn served(raw: &str) -> String {
    match judge(raw) {
        Verdict::Serve(path) => path.into_owned(),
        other => panic!("{raw}: {other:?}"),
    }
}

#[test]
fn plain_paths_are_served_as_they_are() {
    for raw in
        ["/", "/a", "/a/", "/api/v1/todos/todo_019", "/a:b@c/!$&'()*+,;=", "/~x/-._", "/...", "/.well-known/jwks.json"]
    {
        assert_eq!(served(raw), raw);
    }
}

#[test]
fn necessary_encodings_are_decoded_for_matching() {
    assert_eq!(served("/caf%C3%A9"), "/café");
    assert_eq!(served("/caf%c3%a9"), "/café");
    assert_eq!(served("/a%20b%2Bc%25"), "/a b+c%");
}

#[test]
fn other_spellings_are_refused() {
    for (raw, why) in [
        ("", Spelling::NotAbsolute),
        ("*", Spelling::NotAbsolute),
        ("a/b", Spelling::NotAbsolute),
        ("//a", Spelling::EmptySegment),
        ("/a//b", Spelling::EmptySegment),
        ("/a//", Spelling::EmptySegment),
        ("/.", Spelling::DotSegment),
        ("/a/../b", Spelling::DotSegment),
        ("/a/..", Spelling::DotSegment),
        ("/a/./b", Spelling::DotSegment),
        ("/%2e%2e/b", Spelling::NeedlessEncoding),
        ("/a/.%2e/b", Spelling::NeedlessEncoding),
        ("/%61", Spelling::NeedlessEncoding),
        ("/%7e", Spelling::NeedlessEncoding),
        ("/a%2fb", Spelling::EncodedSeparator),
        ("/a%2Fb", Spelling::EncodedSeparator),
        ("/a%5cb", Spelling::EncodedSeparator),
        ("/a%00b", Spelling::EncodedSeparator),
        ("/a%0d%0ab", Spelling::EncodedSeparator),
        ("/a%7fb", Spelling::EncodedSeparator),
        ("/a\\b", Spelling::RawCharacter),
        ("/a b", Spelling::RawCharacter),
        ("/é", Spelling::RawCharacter),
        ("/a\"b", Spelling::RawCharacter),
        ("/{a}", Spelling::RawCharacter),
        ("/a\u{1}", Spelling::RawCharacter),
        ("/%", Spelling::Percent),
        ("/%4", Spelling::Percent),
        ("/%zz", Spelling::Percent),
        ("/%+1", Spelling::Percent),
        ("/%ff", Spelling::NotUtf8),
        ("/%C3%28", Spelling::NotUtf8),
    ] {
        assert_eq!(judge(raw), Verdict::Refuse(why), "{raw:?}");
    }
}

#[test]
fn private_paths_are_private_in_every_spelling() {
    for raw in [
        "/.chassis",
        "/.chassis/",
        "/.chassis/events",
        "/.Chassis/events",
        "/.CHASSIS",
        "/%2echassis/events",
        "/%2Echassis",
        "/.%63hassis",
        "/.%43hassis",
        "/%252echassis",
        "/%25252525252525252525252echassis",
        "//.chassis",
        "/./.chassis",
        "/x/../.chassis/events",
        "/x/..%2f.chassis",
        "/x%2f..%2f.chassis%2fevents",
        "/x\\..\\.chassis",
        "/x%5c.chassis",
        "/.chassis;v=1/events",
        "/.chassis%00/events",
        "/.chassis%20",
        "/.chassis.",
        "/%20.chassis",
        "/.chassis%3fa",
        "/.cha\u{17f}\u{17f}is/events",
        "/.cha%c5%bf%c5%bfis",
        "/api/v1/.chassis/events",
        "*/.chassis",
    ] {
        assert_eq!(judge(raw), Verdict::Private, "{raw:?}");
    }
}

#[test]
fn neighbours_of_private_paths_are_not_private() {
    for raw in ["/chassis", "/.chassis2", "/x.chassis", "/.chassi", "/.chassis-events", "/..chassis"] {
        assert_eq!(served(raw), raw);
    }
}

/// One character of a path in one of the ways in which somebody could write it.
fn spelled(c: char) -> impl Strategy<Value = String> {
    let byte = u32::from(c);
    prop_oneof![
        4 => Just(c.to_string()),
        1 => Just(c.to_ascii_uppercase().to_string()),
        1 => Just(format!("%{byte:02x}")),
        1 => Just(format!("%{byte:02X}")),
        1 => Just(format!("%25{byte:02x}")),
        1 => Just(format!("%2525{byte:02X}")),
        1 => Just(format!("%{:02x}", u32::from(c.to_ascii_uppercase()))),
    ]
}

fn spelled_segment(segment: &'static str) -> impl Strategy<Value = String> {
    segment.chars().map(spelled).collect::<Vec<_>>().prop_map(|parts| parts.concat())
}

fn separator() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just("/"), 1 => Just("//"), 1 => Just("\\"), 1 => Just("%2f"), 1 => Just("%5C"), 1 => Just("%252F")]
}

fn detour() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just(""), 1 => Just("./"), 1 => Just("x/../"), 1 => Just("%2e/"), 1 => Just("a%2f..%2f"), 1 => Just("é/")]
}

fn tail() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just(""),
        Just("/"),
        Just("/events"),
        Just(";a=b"),
        Just("."),
        Just("%20"),
        Just("%00"),
        Just("/%zz"),
        Just("/..")
    ]
}

proptest! {
    #[test]
    fn no_spelling_of_a_private_path_is_ever_served(
        detour in detour(), separator in separator(), segment in spelled_segment(".chassis"), tail in tail(),
    ) {
        let raw = format!("/{detour}{separator}{segment}{tail}");
        prop_assert_eq!(judge(&raw), Verdict::Private);
    }

    #[test]
    fn what_is_served_has_one_spelling(raw in "/[ -~é]{0,24}") {
        if let Verdict::Serve(path) = judge(&raw) {
            prop_assert!(path.starts_with('/'));
            prop_assert!(!path.contains("//") && !path.contains('\\'));
            prop_assert!(!path.chars().any(char::is_control));
            prop_assert!(path.split('/').all(|segment| segment != "." && segment != ".."));
            // Encoding again what must be encoded leads back to the same bytes, but for the case of hexadecimal digits.
            let mut encoded = String::new();
            for (index, part) in raw.split('%').enumerate() {
                if index == 0 { encoded.push_str(part) } else {
                    encoded.push('%');
                    encoded.push_str(&part[..2].to_ascii_uppercase());
                    encoded.push_str(&part[2..]);
                }
            }
            let decoded: Vec<u8> = path.bytes().collect();
            let mut again = String::new();
            let mut written = encoded.bytes().peekable();
            for byte in decoded {
                if written.peek() == Some(&b'%') {
                    again.push_str(&format!("%{byte:02X}"));
                    written.by_ref().take(3).for_each(drop);
                } else {
                    again.push(char::from(byte));
                    written.next();
                }
            }
            prop_assert_eq!(again, encoded);
        }
    }

    #[test]
    fn any_text_is_judged(raw in "\\PC{0,64}") {
        let _verdict = judge(&raw);
    }
}
