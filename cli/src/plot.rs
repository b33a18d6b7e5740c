//! Bar charts of means as SVG, with error bars where count and variance are known. No library: a chart is a few
//! rectangles and lines.

use std::fmt::Write as _;

use galen_aggregate::{ColumnResult, GroupResult, ResultTable};

/// Pixels of one chart; charts stand below each other, one for each column.
const CHART_HEIGHT: f64 = 300.0;
const PLOT_HEIGHT: f64 = 210.0;
const PLOT_TOP: f64 = 40.0;
const MARGIN_LEFT: f64 = 80.0;
const BAR_STEP: f64 = 90.0;
const BAR_WIDTH: f64 = 54.0;
const WIDTH_MIN: f64 = 360.0;
/// Half the width of a 95 % confidence interval, in standard errors (normal approximation).
const INTERVAL_95: f64 = 1.96;

/// One bar.
struct Bar {
    label: String,
    mean: f64,
    /// Half the length of the error bar.
    interval: Option<f64>,
}

/// The chart of every column that has means; nothing where there is none.
pub(crate) fn means(result: &ResultTable) -> Option<String> {
    let charts: Vec<_> = result.columns.iter().map(|column| (column, bars(column))).collect();
    let charts: Vec<_> = charts.into_iter().filter(|(_, bars)| !bars.is_empty()).collect();
    let widest = charts.iter().map(|(_, bars)| bars.len()).max()?;
    let width = (MARGIN_LEFT + widest as f64 * BAR_STEP + 20.0).max(WIDTH_MIN);
    let height = charts.len() as f64 * CHART_HEIGHT;
    let mut svg = String::new();
    // Writing to a String never fails.
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (index, (column, bars)) in charts.iter().enumerate() {
        let by = result.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        let title = format!("Mean of {}{by}", column.column);
        chart(&mut svg, index as f64 * CHART_HEIGHT, width, &title, bars);
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

fn bars(column: &ColumnResult) -> Vec<Bar> {
    let bar = |group: &GroupResult| {
        let mean = group.mean.filter(|mean| mean.is_finite())?;
        let interval = match (group.count, group.variance) {
            (Some(count), Some(variance)) if count > 1 && variance >= 0.0 => {
                Some(INTERVAL_95 * (variance / count as f64).sqrt()).filter(|interval| interval.is_finite())
            }
            _ => None,
        };
        Some(Bar { label: group.level.clone().unwrap_or_else(|| "all".to_owned()), mean, interval })
    };
    column.groups.iter().filter_map(bar).collect()
}

fn chart(svg: &mut String, top: f64, width: f64, title: &str, bars: &[Bar]) {
    let ends = |bar: &Bar| {
        let interval = bar.interval.unwrap_or(0.0);
        [bar.mean - interval, bar.mean + interval]
    };
    let (low, high) =
        bars.iter().flat_map(ends).fold((0.0_f64, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    let step = tick_step((high - low).max(f64::MIN_POSITIVE));
    let (low, high) = ((low / step).floor() * step, ((high / step).ceil() * step).max(step));
    let y = |value: f64| top + PLOT_TOP + PLOT_HEIGHT * (high - value) / (high - low);
    let right = width - 20.0;
    let _ = writeln!(
        svg,
        "<text x=\"{MARGIN_LEFT}\" y=\"{}\" font-size=\"14\" font-weight=\"bold\">{}</text>",
        top + 24.0,
        escaped(title)
    );
    let ticks = ((high - low) / step).round();
    let mut tick = 0.0;
    while tick <= ticks {
        let value = low + tick * step;
        let position = y(value);
        let _ = writeln!(
            svg,
            "<line x1=\"{MARGIN_LEFT}\" x2=\"{right}\" y1=\"{position:.1}\" y2=\"{position:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            MARGIN_LEFT - 8.0,
            position + 4.0,
            tick_text(value, step)
        );
        tick += 1.0;
    }
    for (index, bar) in bars.iter().enumerate() {
        let middle = MARGIN_LEFT + (index as f64 + 0.5) * BAR_STEP;
        let (from, to) = (y(bar.mean.max(0.0)), y(bar.mean.min(0.0)));
        let _ = writeln!(
            svg,
            "<rect x=\"{:.1}\" y=\"{from:.1}\" width=\"{BAR_WIDTH}\" height=\"{:.1}\" fill=\"#4878a8\"/>\
             <text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            middle - BAR_WIDTH / 2.0,
            to - from,
            top + PLOT_TOP + PLOT_HEIGHT + 18.0,
            escaped(&bar.label)
        );
        if let Some(interval) = bar.interval {
            let (upper, lower) = (y(bar.mean + interval), y(bar.mean - interval));
            let (left, right) = (middle - 8.0, middle + 8.0);
            let _ = writeln!(
                svg,
                "<path d=\"M{left:.1} {upper:.1}H{right:.1}M{middle:.1} {upper:.1}V{lower:.1}M{left:.1} {lower:.1}H{right:.1}\" \
                 stroke=\"black\" fill=\"none\"/>"
            );
        }
    }
}

/// 1, 2 or 5 times a power of ten, so that about five ticks fit.
fn tick_step(span: f64) -> f64 {
    let raw = span / 5.0;
    let power = 10_f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= raw).unwrap_or(10.0);
    (factor * power).max(f64::MIN_POSITIVE)
}

fn tick_text(value: f64, step: f64) -> String {
    if !(1e-4..1e9).contains(&step) {
        return format!("{value:.1e}");
    }
    let mut decimals = 0;
    let mut unit = 1.0;
    while step < unit && decimals < 6 {
        decimals += 1;
        unit /= 10.0;
    }
    format!("{:.decimals$}", value + 0.0)
}

/// Text safe inside XML; control characters, which XML 1.0 cannot hold, become blanks.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            character if character.is_control() => out.push(' '),
            character => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(groups: serde_json::Value) -> ResultTable {
        serde_json::from_value(serde_json::json!({
            "statistics": ["count", "mean", "variance"], "by": "Group",
            "columns": [{"column": "a < b & \"c\"", "groups": groups}, {"column": "Age", "groups": []}],
            "included": ["harlem/opt"], "refused": [],
        }))
        .unwrap()
    }

    /// Every tag closed in order and every attribute quoted: what a chart needs of XML.
    fn assert_well_formed(svg: &str) {
        let mut open = Vec::new();
        let mut rest = svg;
        while let Some(start) = rest.find('<') {
            assert!(!rest[..start].contains('>'), "a stray `>`");
            let end = start + rest[start..].find('>').expect("a tag ends");
            let tag = &rest[start + 1..end];
            assert!(!tag.contains('<'), "{tag}");
            assert!(tag.matches('"').count().is_multiple_of(2), "{tag}");
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name));
            } else if !tag.ends_with('/') {
                open.push(tag.split(' ').next().expect("a tag has a name"));
            }
            rest = &rest[end + 1..];
        }
        assert!(open.is_empty(), "{open:?}");
        for part in svg.split('&').skip(1) {
            assert!(["amp;", "lt;", "gt;", "quot;"].iter().any(|entity| part.starts_with(entity)), "{part}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn a_chart_is_well_formed_whatever_the_data() {
        for groups in [
            serde_json::json!([{"level": "C", "count": 50, "mean": 3083.5, "variance": 640_000.0}, {"level": "T<&>", "mean": 3100.0}]),
            serde_json::json!([{"level": "-", "count": 10, "mean": -5.0, "variance": 1.0}, {"level": "+", "mean": 3.0}]),
            serde_json::json!([{"mean": 0.0}]),
            serde_json::json!([{"mean": 1e-300}, {"mean": 1e300}]),
        ] {
            assert_well_formed(&means(&table(groups)).unwrap());
        }
    }

    #[test]
    fn error_bars_are_drawn_where_count_and_variance_are_known() {
        let svg = means(&table(serde_json::json!([
            {"level": "C", "count": 100, "mean": 10.0, "variance": 4.0}, {"level": "T", "mean": 12.0},
        ])))
        .unwrap();
        assert_eq!(svg.matches("<path").count(), 1);
        assert_eq!(svg.matches("fill=\"#4878a8\"").count(), 2);
    }

    #[test]
    fn without_means_there_is_nothing_to_draw() {
        assert_eq!(means(&table(serde_json::json!([{"level": "C", "count": 100}]))), None);
    }
}
