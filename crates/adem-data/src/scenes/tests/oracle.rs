//! A second, plain reading of questions, written apart from the code that asks them.

use super::super::Scene;

/// The answer to a question as a look at the list of objects gives it.
pub(super) fn answer(scene: &Scene, question: &str) -> Option<String> {
    let text = question.strip_suffix('?')?;
    let words: Vec<&str> = text.split(' ').collect();
    let matches = |description: &[&str]| -> Vec<usize> {
        (0..scene.objects.len())
            .filter(|&index| {
                let object = &scene.objects[index];
                description.iter().all(|word| {
                    ["object", "shapes"].contains(word)
                        || *word == object.color.name()
                        || *word == object.shape.name()
                        || *word == object.shape.plural()
                })
            })
            .collect()
    };
    let agreed = |description: &[&str], value: &dyn Fn(usize) -> String| -> Option<String> {
        let mut values: Vec<String> = matches(description).into_iter().map(value).collect();
        values.dedup();
        (values.len() == 1).then(|| values.swap_remove(0))
    };
    let object = |index: usize| &scene.objects[index];
    let yes = |so: bool| Some(if so { "yes" } else { "no" }.to_owned());
    match words.as_slice() {
        ["what", "colour", "is", "the", "background"] => {
            Some(scene.background.tone.name().to_owned())
        }
        ["what", "colour", "is" | "are", "the", rest @ ..] => {
            agreed(rest, &|i| object(i).color.name().to_owned())
        }
        ["what", "shape", "is", "the", rest @ ..] => {
            agreed(rest, &|i| object(i).shape.name().to_owned())
        }
        ["what", "pattern", "is", "on", "the", rest @ ..] => {
            agreed(rest, &|i| object(i).texture.name().to_owned())
        }
        ["how", "many", rest @ .., "are", "there"] => {
            let count = matches(rest).len();
            Some(["zero", "one", "two", "three", "four"][count].to_owned())
        }
        ["where", "is", "the", rest @ ..] => agreed(rest, &|i| {
            let third = |c: f32| usize::from(c > 1.0 / 3.0) + usize::from(c > 2.0 / 3.0);
            let row = ["top", "", "bottom"][third(object(i).y)];
            let column = ["left", "", "right"][third(object(i).x)];
            match format!("{row} {column}").trim() {
                "" => "centre".to_owned(),
                place => place.to_owned(),
            }
        }),
        ["is", "there", "a" | "an", rest @ ..] => yes(!matches(rest).is_empty()),
        ["is" | "are", "the", rest @ .., "large", "or", "small"] => {
            agreed(rest, &|i| object(i).size.name().to_owned())
        }
        ["is", "the", rest @ ..] => {
            let the = rest.iter().position(|word| *word == "the")?;
            let (before, other) = (&rest[..the], &rest[the + 1..]);
            let joint = before
                .iter()
                .position(|word| ["left", "right", "above", "below"].contains(word))?;
            let (a, b) = (matches(&before[..joint]), matches(other));
            let (&[a], &[b]) = (a.as_slice(), b.as_slice()) else {
                return None;
            };
            let (a, b) = (object(a), object(b));
            yes(match before[joint] {
                "left" => a.x < b.x,
                "right" => a.x > b.x,
                "above" => a.y < b.y,
                _ => a.y > b.y,
            })
        }
        _ => None,
    }
}
