//! What a run's time went to, as bars on one scale.

use console::{Alignment, pad_str};
use entity::run::Model;

use crate::show::{self, Look};

/// As wide as the bars are where the width is nobody's concern.
const WIDEST: usize = 60;
/// Bars below that tell nothing.
const NARROWEST: usize = 8;

/// The part of a run, in milliseconds from its claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stage {
    name: &'static str,
    begin: i64,
    took: i64,
}

/// Prints the stages that a run has had, if any.
pub(super) fn print(run: &Model) {
    let stages = stages(run);
    if stages.is_empty() {
        return;
    }
    show::line("");
    for line in lines(&stages, Look::stdout().width) {
        show::line(&line);
    }
}

/// A run waits, fetches, parses while it compares, and stores what came of both.
fn stages(run: &Model) -> Vec<Stage> {
    let mut stages = Vec::new();
    let Some(started) = run.started_at else {
        return stages;
    };
    let wait = (started - run.queued_at).num_milliseconds().max(0);
    let mut stage = |name, begin, took: Option<i64>| {
        let took = took?.max(0);
        stages.push(Stage { name, begin, took });
        Some(begin + took)
    };
    stage("wait", 0, Some(wait));
    let fetched = stage("fetch", wait, run.fetch_ms).unwrap_or(wait);
    let parsed = stage("parse", fetched, run.parse_ms);
    let compared = stage("compare", fetched, run.compare_ms);
    let ready = parsed.max(compared).unwrap_or(fetched);
    stage("store", ready, run.store_ms);
    stages
}

fn lines(stages: &[Stage], width: Option<usize>) -> Vec<String> {
    let tooks: Vec<_> = stages
        .iter()
        .map(|stage| show::took_ms(stage.took))
        .collect();
    let names = stages
        .iter()
        .map(|stage| stage.name.len())
        .max()
        .unwrap_or(0);
    let widest = tooks.iter().map(String::len).max().unwrap_or(0);
    let room = width.map_or(WIDEST, |width| {
        width.saturating_sub(names + widest + 4).min(WIDEST)
    });
    let end = stages.iter().map(|stage| stage.begin + stage.took).max();
    let end = end.unwrap_or(0);
    let lines = stages.iter().zip(&tooks).map(|(stage, took)| {
        let name = pad_str(stage.name, names, Alignment::Left, None);
        let took = pad_str(took, widest, Alignment::Right, None);
        let bar = match room {
            ..NARROWEST => String::new(),
            _ => bar(*stage, end, room),
        };
        format!("{name}  {took}  {bar}").trim_end().to_owned()
    });
    lines.collect()
}

/// At least a sliver, as there was such a stage.
fn bar(stage: Stage, end: i64, room: usize) -> String {
    let end = end.max(1).unsigned_abs() as usize;
    let column = |ms: i64| (ms.unsigned_abs() as usize).saturating_mul(room) / end;
    let begin = column(stage.begin).min(room - 1);
    let length = column(stage.begin + stage.took).saturating_sub(begin);
    let bar = match length {
        0 => "▏".to_owned(),
        _ => "█".repeat(length),
    };
    format!("{}{bar}", " ".repeat(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGES: [Stage; 5] = [
        stage("wait", 0, 250),
        stage("fetch", 250, 500),
        stage("parse", 750, 150),
        stage("compare", 750, 100),
        stage("store", 900, 100),
    ];

    const fn stage(name: &'static str, begin: i64, took: i64) -> Stage {
        Stage { name, begin, took }
    }

    fn drawn(stages: &[Stage], width: Option<usize>) -> String {
        lines(stages, width).join("\n")
    }

    #[test]
    fn stages_are_bars_on_one_scale_and_parsing_overlaps_comparing() {
        insta::assert_snapshot!(drawn(&STAGES, Some(60)), @r"
        wait     250 ms  ██████████
        fetch    500 ms            ██████████████████████
        parse    150 ms                                  ██████
        compare  100 ms                                  ████
        store    100 ms                                        █████
        ");
        insta::assert_snapshot!(drawn(&STAGES, Some(30)), @r"
        wait     250 ms  ███
        fetch    500 ms     ██████
        parse    150 ms           ██
        compare  100 ms           ██
        store    100 ms             ██
        ");
        insta::assert_snapshot!(drawn(&STAGES, Some(20)), @r"
        wait     250 ms
        fetch    500 ms
        parse    150 ms
        compare  100 ms
        store    100 ms
        ");
    }

    #[test]
    fn a_short_stage_beside_a_long_one_is_still_seen() {
        let stages = [stage("wait", 0, 3_600_000), stage("fetch", 3_600_000, 5)];
        insta::assert_snapshot!(drawn(&stages, None), @r"
        wait   1 h 0 min  ███████████████████████████████████████████████████████████
        fetch       5 ms                                                             █
        ");
    }

    #[test]
    fn bars_keep_to_the_width() {
        for width in 1..100 {
            let odd = [
                stage("wait", 0, 0),
                stage("fetch", 0, 1),
                stage("store", i64::MAX / 2, 3),
            ];
            for line in lines(&STAGES, Some(width))
                .iter()
                .chain(&lines(&odd, Some(width)))
            {
                // The numbers stay in any case.
                let wide = console::measure_text_width(line);
                assert!(
                    wide <= width.max("compare  100 ms".len()),
                    "{width}: {line}"
                );
            }
        }
    }
}
