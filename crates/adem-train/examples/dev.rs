#![allow(missing_docs, clippy::unwrap_used)]
use adem_train::scenes::*;
use std::sync::atomic::AtomicBool;
fn main() {
    let out = std::env::args().nth(1).unwrap();
    let mut c = ScenesConfig::default();
    if let Some(p) = std::env::args().nth(2) { c = serde_json::from_str(&std::fs::read_to_string(p).unwrap()).unwrap(); }
    let stop: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
    std::fs::create_dir_all(&out).unwrap();
    let t0 = std::time::Instant::now();
    let mut log = adem_train::Log::new(std::path::Path::new(&out), move |r| println!("{:6.0}s {r:?}", t0.elapsed().as_secs_f32())).unwrap();
    println!("{:?}", train(&c, std::path::Path::new(&out), &burn::tensor::Device::flex(), &mut log, stop).unwrap());
}
