//! PyTorch's pickles, byte by byte as protocol 2 writes them.

use crate::files::Named;
use crate::zip_file::{Member, archive};

/// A value of a pickle.
#[derive(Debug, Clone)]
pub enum Pickled {
    None,
    Int(i32),
    Float(f64),
    Text(String),
    Tuple(Vec<Pickled>),
    List(Vec<Pickled>),
    Dict(Vec<(Pickled, Pickled)>),
    /// An `OrderedDict` with PyTorch's `_metadata`.
    Ordered(Vec<(Pickled, Pickled)>),
    /// `argparse.Namespace`.
    Namespace(Vec<(Pickled, Pickled)>),
    /// A tensor: number of its storage, dtype as a storage's name, shape, strides, offset.
    Tensor(View),
    /// A call of any global without arguments.
    Call(&'static str, &'static str),
}

#[derive(Debug, Clone)]
pub struct View {
    pub storage: usize,
    pub kind: &'static str,
    pub elements: i32,
    pub offset: i32,
    pub shape: Vec<i32>,
    pub strides: Vec<i32>,
}

impl Pickled {
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// Float tensors by name, storage after storage.
    pub fn dict(tensors: &[Named]) -> Self {
        let pair = |(i, it): (usize, &Named)| (Self::text(&it.name), Self::of(i, it));
        Self::Ordered(tensors.iter().enumerate().map(pair).collect())
    }

    /// `tensor`, all of storage number `storage`.
    pub fn of(storage: usize, tensor: &Named) -> Self {
        let shape: Vec<i32> = tensor.shape.iter().map(|dim| *dim as i32).collect();
        let strides = (0..shape.len())
            .map(|i| shape[i + 1..].iter().product())
            .collect();
        Self::Tensor(View {
            storage,
            kind: "FloatStorage",
            elements: tensor.values.len() as i32,
            offset: 0,
            shape,
            strides,
        })
    }

    fn write(&self, legacy: bool, out: &mut Vec<u8>) {
        let pairs = |pairs: &[(Self, Self)], out: &mut Vec<u8>| {
            out.push(b'(');
            for (key, value) in pairs {
                key.write(legacy, out);
                value.write(legacy, out);
            }
            out.push(b'u');
        };
        match self {
            Self::None => out.push(b'N'),
            Self::Int(value) => {
                out.push(b'J');
                out.extend(value.to_le_bytes());
            }
            Self::Float(value) => {
                out.push(b'G');
                out.extend(value.to_be_bytes());
            }
            Self::Text(text) => {
                out.push(b'X');
                out.extend((text.len() as u32).to_le_bytes());
                out.extend(text.bytes());
            }
            Self::Tuple(items) => {
                out.push(b'(');
                items.iter().for_each(|item| item.write(legacy, out));
                out.push(b't');
            }
            Self::List(items) => {
                out.extend(b"](");
                items.iter().for_each(|item| item.write(legacy, out));
                out.push(b'e');
            }
            Self::Dict(items) => {
                out.push(b'}');
                pairs(items, out);
            }
            Self::Ordered(items) => {
                out.extend(b"ccollections\nOrderedDict\n)R");
                pairs(items, out);
                Self::Dict(vec![(Self::text("_metadata"), Self::Dict(vec![]))]).write(legacy, out);
                out.push(b'b');
            }
            Self::Namespace(items) => {
                out.extend(b"cargparse\nNamespace\n)\x81");
                Self::Dict(items.clone()).write(legacy, out);
                out.push(b'b');
            }
            Self::Call(module, name) => out.extend(format!("c{module}\n{name}\n)R").bytes()),
            Self::Tensor(view) => {
                out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
                Self::text("storage").write(legacy, out);
                out.extend(format!("ctorch\n{}\n", view.kind).bytes());
                Self::text(&view.storage.to_string()).write(legacy, out);
                Self::text("cpu").write(legacy, out);
                Self::Int(view.elements).write(legacy, out);
                if legacy {
                    out.push(b'N');
                }
                out.extend(b"tQ");
                Self::Int(view.offset).write(legacy, out);
                for numbers in [&view.shape, &view.strides] {
                    Self::Tuple(numbers.iter().map(|n| Self::Int(*n)).collect()).write(legacy, out);
                }
                out.extend(b"\x89ccollections\nOrderedDict\n)RtR");
            }
        }
    }

    pub fn pickle(&self, legacy: bool) -> Vec<u8> {
        let mut out = b"\x80\x02".to_vec();
        self.write(legacy, &mut out);
        out.push(b'.');
        out
    }
}

/// `torch.save` since PyTorch 1.6: storage `i` holds `storages[i]`.
pub fn zipped(object: &Pickled, storages: &[Named]) -> Vec<u8> {
    let pickle = object.pickle(false);
    let values: Vec<_> = storages.iter().map(Named::bytes).collect();
    let names: Vec<_> = (0..values.len()).map(|i| format!("x/data/{i}")).collect();
    let mut members = vec![
        Member::stored("x/data.pkl", &pickle),
        Member::stored("x/byteorder", b"little"),
    ];
    let storages = names.iter().zip(&values);
    members.extend(storages.map(|(name, bytes)| Member::stored(name, bytes)));
    members.push(Member::stored("x/version", b"3\n"));
    archive(&members, false)
}

/// `torch.save` before.
pub fn legacy(object: &Pickled, storages: &[Named]) -> Vec<u8> {
    let mut file = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.".to_vec();
    file.extend(b"\x80\x02M\xe9\x03.");
    file.extend(b"\x80\x02}(X\x0d\0\0\0little_endian\x88u.");
    file.extend(object.pickle(true));
    // Any order will do.
    let order: Vec<_> = (0..storages.len()).rev().collect();
    let keys = order
        .iter()
        .map(|i| Pickled::text(&i.to_string()))
        .collect();
    file.extend(Pickled::List(keys).pickle(true));
    for index in order {
        let storage = &storages[index];
        file.extend((storage.values.len() as u64).to_le_bytes());
        file.extend(storage.bytes());
    }
    file
}
