//! Shader files as templates.
//!
//! A file is WGSL with lines of three kinds that are resolved before Burn's template fills in
//! `{{ names }}`:
//!
//! ```text
//! //@for r in ROWS    the lines up to its //@end once for each r below ROWS, $r replaced
//! //@if NAME          the lines up to its //@end where the constant NAME is there and not 0
//! //@unless NAME      the opposite
//! ```
//!
//! Loops are written out because not every driver unrolls them, and sums that stay an array end
//! up in memory.

use std::collections::BTreeMap;

/// Values a shader is specialised for, by name.
pub(crate) type Constants = BTreeMap<&'static str, u32>;

/// `text` with its loops and conditions resolved.
///
/// A malformed template is a fault in this crate; it yields text that no shader compiler accepts,
/// which the tests over all shaders find.
pub(crate) fn expand(text: &str, constants: &Constants) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::with_capacity(text.len() * 2);
    block(&lines, constants, &mut Vec::new(), &mut out);
    out
}

/// Names of loops around a line and the turn each is in.
type Turns<'a> = Vec<(&'a str, u32)>;

fn block<'a>(lines: &[&'a str], constants: &Constants, turns: &mut Turns<'a>, out: &mut String) {
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let Some(directive) = line.trim_start().strip_prefix("//@") else {
            let mut line = line.to_owned();
            for (name, turn) in turns.iter() {
                line = line.replace(&format!("${name}"), &turn.to_string());
            }
            out.push_str(&line);
            out.push('\n');
            at += 1;
            continue;
        };
        let inner = at + 1..end_of(lines, at);
        at = inner.end + 1;
        let inner = &lines[inner];
        match directive.split_whitespace().collect::<Vec<_>>()[..] {
            ["for", name, "in", count] => {
                for turn in 0..number(count, constants) {
                    turns.push((name, turn));
                    block(inner, constants, turns, out);
                    turns.pop();
                }
            }
            ["if", name] if number(name, constants) != 0 => block(inner, constants, turns, out),
            ["unless", name] if number(name, constants) == 0 => block(inner, constants, turns, out),
            ["if" | "unless", _] => {}
            _ => out.push_str("unknown template directive\n"),
        }
    }
}

/// The line of the `//@end` that belongs to the directive on line `start`.
fn end_of(lines: &[&str], start: usize) -> usize {
    let mut depth = 0;
    for (at, line) in lines.iter().enumerate().skip(start) {
        match line.trim_start().strip_prefix("//@") {
            Some("end") => depth -= 1,
            Some(_) => depth += 1,
            None => {}
        }
        if depth == 0 {
            return at;
        }
    }
    lines.len()
}

fn number(text: &str, constants: &Constants) -> u32 {
    match text.parse() {
        Ok(value) => value,
        Err(_) => constants.get(text).copied().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_nest_and_conditions_choose() {
        let text = "//@for r in ROWS\n//@if ODD\nodd $r\n//@end\n//@unless ODD\n\
                    //@for c in 2\neven $r_$c\n//@end\n//@end\n//@end\nlast";
        let even = Constants::from([("ROWS", 2)]);
        assert_eq!(
            expand(text, &even),
            "even 0_0\neven 0_1\neven 1_0\neven 1_1\nlast\n"
        );
        let odd = Constants::from([("ROWS", 2), ("ODD", 1)]);
        assert_eq!(expand(text, &odd), "odd 0\nodd 1\nlast\n");
    }
}
