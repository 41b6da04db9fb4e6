//! Prompts of visual instruction tuning, as LaVIN makes them from LLaVA's and Alpaca's lists.

/// How an instruction is asked: the question template of a model trained on instructions.
pub const TEMPLATE: &str = "Instruction: {question}\nResponse:";

/// The prompt of an Alpaca row: instruction and input, which may be empty.
pub fn alpaca_prompt(instruction: &str, input: &str) -> String {
    prompt(&format!("{instruction} {input}"))
}

/// The prompt of a turn of a LLaVA conversation: what the human says, without the picture's marker.
pub fn conversation_prompt(said: &str) -> String {
    prompt(&said.replace("<image>\n", "").replace("\n<image>", ""))
}

fn prompt(text: &str) -> String {
    // LaVIN's order: the blanks are thinned out (once, not until none is double) after the words
    // around the instruction are set.
    format!("Instruction: {text}\nResponse: ")
        .replace("  ", " ")
        .trim()
        .to_owned()
}
