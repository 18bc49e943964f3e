//! PCR values, and which of them a quote covers.

/// PCRs that a vTPM has.
pub(super) const COUNT: usize = 24;

/// SHA-256 PCR values that a quote covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pcrs([Option<[u8; 32]>; COUNT]);

impl Pcrs {
    /// Assigns `values` to the PCRs of `selection`, a bit each, in order; `None` unless there is one for each.
    pub(super) fn select(selection: [u8; 3], values: &[[u8; 32]]) -> Option<Self> {
        let mut pcrs = [None; COUNT];
        let mut values = values.iter();
        for (index, pcr) in pcrs.iter_mut().enumerate() {
            let byte = selection.get(index / 8).copied().unwrap_or_default();
            if byte >> (index % 8) & 1 == 1 {
                *pcr = Some(*values.next()?);
            }
        }
        values.next().is_none().then_some(Self(pcrs))
    }

    /// The value of a PCR, `None` where the quote does not cover it: whoever demands one must not take that for "any".
    pub fn value(&self, index: usize) -> Option<&[u8; 32]> {
        self.0.get(index)?.as_ref()
    }

    /// All that the quote covers, by index.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &[u8; 32])> {
        self.0.iter().enumerate().filter_map(|(index, value)| Some((index, value.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_belong_to_the_selected_pcrs_in_order() {
        let pcrs = Pcrs::select([0b101, 0, 0x80], &[[1; 32], [2; 32], [3; 32]]).unwrap();
        assert_eq!(pcrs.value(0), Some(&[1; 32]));
        assert_eq!(pcrs.value(1), None);
        assert_eq!(pcrs.value(2), Some(&[2; 32]));
        assert_eq!(pcrs.value(23), Some(&[3; 32]));
        assert_eq!(pcrs.value(24), None);
        assert_eq!(pcrs.iter().map(|(index, _)| index).collect::<Vec<_>>(), [0, 2, 23]);
    }

    #[test]
    fn there_is_one_value_for_each() {
        for count in [0, 2, 4, 24] {
            assert_eq!(Pcrs::select([7, 0, 0], &vec![[0; 32]; count]), None);
        }
        assert!(Pcrs::select([0xff; 3], &[[0; 32]; 24]).is_some());
    }
}
