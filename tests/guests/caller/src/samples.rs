//! Values of every plain type: the smallest, the largest, and some from between.

use crate::bindings::test::calls::target::{Colour, Everything, Figure, Marks, Point};

pub(crate) fn all() -> Vec<Everything> {
    vec![smallest(), largest(), between()]
}

fn smallest() -> Everything {
    Everything {
        yes: false,
        tiny: u8::MIN,
        small: i16::MIN,
        number: i64::MIN,
        large: u64::MIN,
        single: f32::MIN,
        real: f64::NEG_INFINITY,
        letter: '\0',
        text: String::new(),
        words: Vec::new(),
        grid: Vec::new(),
        bytes: Vec::new(),
        maybe: None,
        inner: None,
        pair: (String::new(), i8::MIN),
        outcome: Err(String::new()),
        colour: Colour::Red,
        marks: Marks::empty(),
        figure: Figure::Dot,
    }
}

fn largest() -> Everything {
    Everything {
        yes: true,
        tiny: u8::MAX,
        small: i16::MAX,
        number: i64::MAX,
        large: u64::MAX,
        single: f32::MAX,
        real: f64::MAX,
        letter: char::MAX,
        text: "x".repeat(10_000),
        words: vec!["word".to_owned(); 500],
        grid: vec![vec![u32::MAX; 20]; 20],
        bytes: (0..=u8::MAX).collect(),
        maybe: Some("there".to_owned()),
        inner: Some(Some(Point { x: i32::MIN, y: i32::MAX })),
        pair: ("one".to_owned(), i8::MAX),
        outcome: Ok(u32::MAX),
        colour: Colour::Blue,
        marks: Marks::all(),
        figure: Figure::Polygon(vec![Point { x: 1, y: -1 }; 100]),
    }
}

fn between() -> Everything {
    Everything {
        text: "Straße, 東京, \u{1f980}".to_owned(),
        letter: 'ß',
        words: vec![String::new(), "two".to_owned()],
        grid: vec![Vec::new(), vec![1, 2]],
        inner: Some(None),
        real: -0.1,
        colour: Colour::Green,
        marks: Marks::LOUD,
        figure: Figure::Circle(f64::EPSILON),
        ..smallest()
    }
}
