use sha2::{Digest as _, Sha256};

use super::*;

/// SHA-256 of SubjectPublicKeyInfo; published by several independent verifiers.
const KEYS: [(Product, &str); 3] = [
    (Product::Milan, "9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9"),
    (Product::Genoa, "429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831"),
    (Product::Turin, "4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08"),
];

#[test]
fn the_embedded_roots_are_amds() {
    let roots = Roots::embedded();
    assert_eq!(roots.lines.len(), 3);
    for (line, (product, key)) in roots.lines.iter().zip(KEYS) {
        assert_eq!(line.product, product);
        assert_eq!(hex::encode(Sha256::digest(line.ark.spki_der())), key);
        assert_eq!(line.ark.common_name(), Some(format!("ARK-{product}").as_str()));
        assert_eq!(line.ark.check_issued_by(&line.ark, &[]), Ok(()));
    }
}

#[test]
fn the_embedded_signing_keys_are_below_them() {
    let roots = Roots::embedded();
    for line in roots.lines.iter() {
        let product = line.product;
        for (signer, name) in
            [(Signer::Vcek, format!("SEV-{product}")), (Signer::Vlek, format!("SEV-VLEK-{product}"))]
        {
            let key = roots.signing_key(product, signer).unwrap();
            assert_eq!(key.common_name(), Some(name.as_str()));
            assert_eq!(key.check_issued_by(&line.ark, &[]), Ok(()));
        }
    }
}
