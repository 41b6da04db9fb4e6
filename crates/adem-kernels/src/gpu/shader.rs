//! The shader files and how their parts are put together.

use burn::backend::wgpu::SourceTemplate;

use super::template::{Constants, expand};

/// A file of `shaders/`.
#[derive(Clone, Copy)]
pub(crate) struct File {
    /// Its name without the extension.
    pub name: &'static str,
    text: &'static str,
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for File {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for File {}

impl std::hash::Hash for File {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

macro_rules! files {
    ($($constant:ident = $name:literal),+ $(,)?) => {
        $(pub(crate) const $constant: File = File {
            name: $name,
            text: include_str!(concat!("../../../../shaders/", $name, ".wgsl")),
        };)+
        /// Every file.
        #[cfg(test)]
        pub(crate) const ALL: &[File] = &[$($constant),+];
    };
}

files! {
    ACROSS = "across",
    ATTENTION = "attention",
    CODES_Q4 = "codes_q4",
    CODES_Q8 = "codes_q8",
    CROSS_ATTENTION = "cross_attention",
    CROSS_MIX = "cross_mix",
    CROSS_SCORES = "cross_scores",
    DOT = "dot",
    FINISH = "finish",
    LINEAR = "linear",
    MASK_SCORES = "mask_scores",
    MATMUL = "matmul",
    NEXT_TOKEN = "next_token",
    NORM = "norm",
    OPERAND_NARROW = "operand_narrow",
    OPERAND_WIDE = "operand_wide",
    ORDER_PLAIN = "order_plain",
    ORDER_Q4 = "order_q4",
    PACK = "pack",
    ROPE_APPEND = "rope_append",
    SCALE_F16 = "scale_f16",
    SCALE_F32 = "scale_f32",
    UNPACK = "unpack",
    VECTOR_NARROW = "vector_narrow",
    VECTOR_WIDE = "vector_wide",
    WEIGHTS_NARROW = "weights_narrow",
    WEIGHTS_Q4 = "weights_q4",
    WEIGHTS_Q8 = "weights_q8",
    WEIGHTS_WIDE = "weights_wide",
}

/// What the shader sees of a buffer's contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Element {
    F32,
    F32x4,
    U32,
    U32x2,
    U32x4,
    /// As the shader's `Vector`.
    Vector,
}

impl Element {
    fn wgsl(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F32x4 => "vec4<f32>",
            Self::U32 => "u32",
            Self::U32x2 => "vec2<u32>",
            Self::U32x4 => "vec4<u32>",
            Self::Vector => "Vector",
        }
    }
}

/// One storage buffer of a shader.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Binding {
    pub name: &'static str,
    pub element: Element,
    pub written: bool,
}

/// All that a pipeline follows from. Shapes are not part of it: they come at run time, in `info`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Recipe {
    pub file: File,
    /// Parts besides the file, each with the number of the weight set it reads.
    pub parts: Vec<(File, u32)>,
    pub constants: Constants,
    pub bindings: Vec<Binding>,
    /// Threads of a workgroup.
    pub workgroup: u32,
    /// Vectors of four words in `info`.
    pub info: u32,
    /// Text put in place of other text, by file: how tests break a shader.
    #[cfg(test)]
    pub edits: Vec<(File, &'static str, &'static str)>,
}

impl Recipe {
    /// The recipe's WGSL, in Burn's template. With `shared_pages` tensors may lie in one buffer.
    pub fn template(&self, shared_pages: bool) -> SourceTemplate {
        // Natively naga wants no word for subgroups, and a browser never sees them.
        let enable = match self.constants.get("HALVES") {
            Some(1) => "enable f16;\n",
            _ => "",
        };
        let mut template = SourceTemplate::new(format!("{enable}{}", self.text(self.file)));
        for (part, set) in &self.parts {
            let text = SourceTemplate::new(self.text(*part))
                .register("set", set.to_string())
                .complete();
            template = template.add_template(text);
        }
        template.register("bindings", self.declarations(shared_pages))
    }

    fn text(&self, file: File) -> String {
        let text = expand(file.text, &self.constants);
        #[cfg(test)]
        let text = self
            .edits
            .iter()
            .filter(|edit| edit.0 == file)
            .fold(text, |text, (_, old, new)| text.replace(old, new));
        text
    }

    /// Buffers in the order they are bound, the constants, and the run-time values last.
    fn declarations(&self, shared_pages: bool) -> String {
        let mut text = String::new();
        for (at, binding) in self.bindings.iter().enumerate() {
            let access = match binding.written || shared_pages {
                true => "read_write",
                false => "read",
            };
            text += &format!(
                "@group(0) @binding({at}) var<storage, {access}> {}: array<{}>;\n",
                binding.name,
                binding.element.wgsl()
            );
        }
        let last = self.bindings.len();
        text += &format!(
            "@group(0) @binding({last}) var<uniform> info: array<vec4<u32>, {}>;\n",
            self.info
        );
        text += &format!("const WORKGROUP = {}u;\n", self.workgroup);
        for (name, value) in &self.constants {
            text += &format!("const {name} = {value}u;\n");
        }
        text
    }
}

/// Natively Burn lets tensors share a buffer, and one buffer cannot be bound for reading and for
/// writing in one dispatch, so everything is bound for both. In a browser each tensor has its own.
pub(crate) const SHARED_PAGES: bool = !cfg!(target_family = "wasm");
