//! From logits to the next token: temperature, top-k, top-p, min-p, penalties, seed. Greedy at temperature 0.
//! Meaning and order follow vLLM. Pure; the only randomness is the seeded generator.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::HashMap;

/// What a request may set.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sampling {
    pub(crate) temperature: f32,
    pub(crate) top_p: f32,
    pub(crate) top_k: usize,
    pub(crate) min_p: f32,
    pub(crate) presence_penalty: f32,
    pub(crate) frequency_penalty: f32,
    pub(crate) repetition_penalty: f32,
    pub(crate) seed: Option<u64>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            repetition_penalty: 1.0,
            seed: None,
        }
    }
}

/// The state of one generation.
pub(crate) struct Sampler {
    settings: Sampling,
    rng: StdRng,
    /// How often each token was produced; only kept where a penalty needs it.
    produced: HashMap<u32, u32>,
    prompt: Vec<u32>,
}

/// Below this, dividing by the temperature says nothing that the maximum does not.
const GREEDY: f32 = 1e-5;

impl Sampler {
    pub(crate) fn new(settings: Sampling, prompt: &[u32]) -> Self {
        let rng = match settings.seed {
            Some(seed) => StdRng::seed_from_u64(seed),
            None => StdRng::from_os_rng(),
        };
        let prompt = if settings.repetition_penalty == 1.0 { Vec::new() } else { prompt.to_vec() };
        Self { settings, rng, produced: HashMap::new(), prompt }
    }

    /// The next token; `banned` ones cannot be drawn (an end that may not come yet). `None` if nothing is left.
    pub(crate) fn next(&mut self, mut logits: Vec<f32>, banned: &[u32]) -> Option<u32> {
        for token in banned {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        self.penalise(&mut logits);
        let token = if self.settings.temperature < GREEDY { argmax(&logits) } else { self.draw(&logits) }?;
        if self.has_penalty() {
            *self.produced.entry(token).or_default() += 1;
        }
        Some(token)
    }

    fn has_penalty(&self) -> bool {
        let Sampling { presence_penalty, frequency_penalty, repetition_penalty, .. } = self.settings;
        presence_penalty != 0.0 || frequency_penalty != 0.0 || repetition_penalty != 1.0
    }

    fn penalise(&self, logits: &mut [f32]) {
        let Sampling { presence_penalty, frequency_penalty, repetition_penalty, .. } = self.settings;
        if repetition_penalty != 1.0 {
            let mut seen: Vec<u32> = self.prompt.iter().chain(self.produced.keys()).copied().collect();
            seen.sort_unstable();
            seen.dedup();
            for token in seen {
                if let Some(logit) = logits.get_mut(token as usize) {
                    *logit *= if *logit > 0.0 { 1.0 / repetition_penalty } else { repetition_penalty };
                }
            }
        }
        for (token, count) in &self.produced {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit -= frequency_penalty * *count as f32 + presence_penalty;
            }
        }
    }

    fn draw(&mut self, logits: &[f32]) -> Option<u32> {
        let best = logits.iter().copied().filter(|logit| logit.is_finite()).fold(f32::NEG_INFINITY, f32::max);
        if !best.is_finite() {
            return None;
        }
        let weight = |logit: f32| ((logit - best) / self.settings.temperature).exp();
        // The best token weighs 1, so min-p is a plain threshold.
        let mut candidates: Vec<(u32, f32)> = (0u32..)
            .zip(logits)
            .map(|(token, logit)| (token, weight(*logit)))
            .filter(|(_, weight)| *weight > 0.0 && *weight >= self.settings.min_p)
            .collect();
        if self.settings.top_k > 0 || self.settings.top_p < 1.0 {
            candidates.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            if self.settings.top_k > 0 {
                candidates.truncate(self.settings.top_k);
            }
            cut_to_nucleus(&mut candidates, self.settings.top_p);
        }
        let total: f32 = candidates.iter().map(|(_, weight)| weight).sum();
        let mut point = self.rng.random::<f32>() * total;
        for (token, weight) in &candidates {
            point -= weight;
            if point < 0.0 {
                return Some(*token);
            }
        }
        // Rounding may leave a crumb after the last candidate.
        candidates.last().map(|(token, _)| *token)
    }
}

/// The fewest of the sorted candidates whose weights reach `top_p` of all.
fn cut_to_nucleus(candidates: &mut Vec<(u32, f32)>, top_p: f32) {
    let total: f32 = candidates.iter().map(|(_, weight)| weight).sum();
    let mut reached = 0.0;
    let kept = candidates.iter().take_while(|(_, weight)| {
        let more = reached < top_p * total;
        reached += weight;
        more
    });
    let kept = kept.count().max(1);
    candidates.truncate(kept);
}

fn argmax(logits: &[f32]) -> Option<u32> {
    let finite = (0u32..).zip(logits).filter(|(_, logit)| logit.is_finite());
    // Strictly greater: the first of equals wins, whatever the order of evaluation.
    finite
        .fold(None, |best: Option<(u32, f32)>, (token, logit)| match best {
            Some((_, best_logit)) if *logit <= best_logit => best,
            _ => Some((token, *logit)),
        })
        .map(|(token, _)| token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw_many(settings: &Sampling, logits: &[f32], count: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(settings.clone(), &[]);
        (0..count).map(|_| sampler.next(logits.to_vec(), &[]).unwrap()).collect()
    }

    #[test]
    fn zero_temperature_takes_the_first_maximum() {
        let settings = Sampling { temperature: 0.0, ..Sampling::default() };
        assert_eq!(draw_many(&settings, &[0.0, 3.0, 3.0, f32::NAN], 3), [1, 1, 1]);
    }

    #[test]
    fn the_same_seed_draws_the_same_tokens() {
        let settings = Sampling { seed: Some(7), ..Sampling::default() };
        let logits = [1.0, 1.1, 0.9, 1.2];
        assert_eq!(draw_many(&settings, &logits, 50), draw_many(&settings, &logits, 50));
        let other = Sampling { seed: Some(8), ..Sampling::default() };
        assert_ne!(draw_many(&settings, &logits, 50), draw_many(&other, &logits, 50));
    }

    #[test]
    fn top_k_top_p_and_min_p_cut_the_tail() {
        let logits = [2.0, 1.0, 0.0, -1.0];
        for settings in [
            Sampling { top_k: 1, ..Sampling::default() },
            Sampling { top_p: 0.5, ..Sampling::default() },
            Sampling { min_p: 0.9, ..Sampling::default() },
        ] {
            assert_eq!(draw_many(&settings, &logits, 40), [0; 40], "{settings:?}");
        }
    }

    #[test]
    fn drawing_follows_the_distribution() {
        let settings = Sampling { seed: Some(1), ..Sampling::default() };
        let drawn = draw_many(&settings, &[0.75f32.ln(), 0.25f32.ln()], 4000);
        let ones = drawn.iter().filter(|token| **token == 1).count();
        assert!((850..1150).contains(&ones), "{ones} of 4000");
    }

    #[test]
    fn penalties_and_bans_move_to_the_next_token() {
        let settings = Sampling { temperature: 0.0, frequency_penalty: 1.0, ..Sampling::default() };
        assert_eq!(draw_many(&settings, &[1.5, 1.0], 3), [0, 1, 0]);
        let settings = Sampling { temperature: 0.0, repetition_penalty: 2.0, ..Sampling::default() };
        assert_eq!(Sampler::new(settings, &[0]).next(vec![1.5, 1.0], &[]), Some(1));
        let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
        assert_eq!(Sampler::new(greedy.clone(), &[]).next(vec![1.5, 1.0], &[0]), Some(1));
        assert_eq!(Sampler::new(greedy, &[]).next(vec![1.5], &[0]), None);
    }
}
