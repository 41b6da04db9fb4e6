//! Quantised blocks against ggml's own reading of them.

use adem_import::Dtype;
use adem_package::Digest;

/// A random block of each type, and the SHA-256 of its weights (float32, little-endian) as
/// `gguf.quants.dequantize` of ggml-org's Python package gives them.
const BLOCKS: [(Dtype, &str, &str); 4] = [
    (
        Dtype::Q4K,
        "4c22d629a94106a0956a26afbccdafe562f90a945f5693c642276ad5ab2da7394551370e99b2d74c\
         3427fa48d732a1df70aca1e926115901dd06f27f8f063cd25e19a621f9bd0ccc21397c1ec795ca77\
         48dc03d17a88934d85527357a2e64647f03e2fb81f223f4192c58efd5185f0711ef7677a1f132a81\
         8d882195a100b28d6b236b82481bd9fe630dc3ce3be4ebca",
        "238dba40e7b50b9443e52821fa1dc810e6662606229077be0822398038ef3de2",
    ),
    (
        Dtype::Q6K,
        "b72f45b35223479f6e794d57037e2cfde9e15a7789781e3721a557d8e5a703296dcb81db3f65cf9c\
         1bdc5d1d8fc83f0b0bb4db71be572209851d3d24f4c0cf83fe4363f82f4759778955f6ced681cbea\
         7179ced2c8f814a13472ff70ce369d8385452a44f318337f08cd1e614f235d3f83bc45fee9ee0403\
         a79be118544441317c9311f85e0429b19f7ec0e156f65a3322e791b880ee995e3f0d307d2fbaf400\
         693a179e0d027ed4e58be7a9ebc28a271d43a78855638144eb6603f7b2725de11fe6ac2f88a68182\
         869793f0aad6ded8459f",
        "09daaad3d39fe45a3fbbedeba18baca21ead9e95142ff0d9be6b67c76025daaa",
    ),
    (
        Dtype::Q4_0,
        "fd27c4a374fec70a68b3e4bdc92b38798741",
        "e819be86c91c0b11ea3a8bf4f276c9125ea167e7e4412c891d988f2a10d0320b",
    ),
    (
        Dtype::Q8_0,
        "fd27963ec766888ab4b80eba7c5cfd81121bea9cee1810dfd5169faf26cd7b5c30c8",
        "24280ef78408a1ff3a110133b9e98a4b1140a649964b4ad395034b06b8263698",
    ),
];

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

#[test]
fn blocks_are_read_as_ggml_reads_them() {
    for (dtype, block, digest) in BLOCKS {
        let block = bytes(block);
        assert_eq!(block.len() as u64, dtype.block().1);
        let values = dtype.decode(&[block.clone(), block].concat());
        assert_eq!(values.len() as u64, 2 * dtype.block().0);
        let (first, second) = values.split_at(values.len() / 2);
        let raw: Vec<u8> = first.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(Digest::of(&raw).to_string(), digest, "{}", dtype.name());
        assert_eq!(first, second, "{}", dtype.name());
    }
}
