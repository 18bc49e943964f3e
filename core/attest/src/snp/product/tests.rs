use super::*;

fn of(family: u8, model: u8) -> Option<Product> {
    Product::from_cpuid(Cpuid { family, model, stepping: 1 })
}

#[test]
fn processors_have_their_line() {
    assert_eq!(of(0x19, 0x01), Some(Product::Milan));
    assert_eq!(of(0x19, 0x11), Some(Product::Genoa));
    assert_eq!(of(0x19, 0xa0), Some(Product::Genoa), "Bergamo and Siena");
    assert_eq!(of(0x1a, 0x02), Some(Product::Turin));
    assert_eq!(of(0x1a, 0x11), Some(Product::Turin), "Turin Dense");
}

#[test]
fn other_processors_have_none() {
    for (family, model) in [(0x17, 0x31), (0x19, 0x20), (0x19, 0x9f), (0x19, 0xb0), (0x1a, 0x20), (0, 0)] {
        assert_eq!(of(family, model), None, "{family:#x} {model:#x}");
    }
}

#[test]
fn certificates_may_name_a_stepping() {
    assert_eq!(Product::from_certificate_text("Milan-B0"), Some(Product::Milan));
    assert_eq!(Product::from_certificate_text("Genoa"), Some(Product::Genoa));
    assert_eq!(Product::from_certificate_text("Siena-B2"), Some(Product::Genoa));
    assert_eq!(Product::from_certificate_text("Turin-C1"), Some(Product::Turin));
    for text in ["", "-B0", "milan", "Rome", "Milan B0", "MilanX-B0"] {
        assert_eq!(Product::from_certificate_text(text), None, "{text:?}");
    }
}

#[test]
fn names_and_lines_are_one_to_one() {
    for product in Product::ALL {
        assert_eq!(Product::from_name(product.name()), Some(product));
    }
    assert_eq!(Product::from_name("Milan-B0"), None);
}
