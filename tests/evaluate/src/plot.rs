//! Recall against false alerts, one line a method, as SVG.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::volume::Found;

const COLORS: [RGBColor; 6] = [
    RGBColor(0, 90, 160),
    RGBColor(150, 150, 150),
    RGBColor(120, 60, 140),
    RGBColor(60, 60, 60),
    RGBColor(200, 120, 0),
    RGBColor(90, 140, 60),
];

/// Draws what was found at many budgets in one world.
pub(crate) fn draw(path: &Path, title: &str, found: &[Found]) -> Result<()> {
    let mut lines: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for one in found {
        let point = one.overall.map(|overall| (one.budget, overall * 100.0));
        lines.entry(&one.method).or_default().extend(point);
    }
    lines.retain(|_, points| !points.is_empty());
    let range =
        |of: fn(f64, f64) -> f64, start: f64| found.iter().map(|one| one.budget).fold(start, of);
    let (low, high) = (range(f64::min, f64::MAX), range(f64::max, 0.0));
    let area = SVGBackend::new(path, (760, 460)).into_drawing_area();
    let draw = || -> Result<(), Box<dyn std::error::Error + '_>> {
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(52)
            .build_cartesian_2d((low..high).log_scale(), 0.0..100.0)?;
        chart
            .configure_mesh()
            .x_desc("false alerts for every 1,000 days of a person")
            .y_desc("attack days noticed, %")
            .draw()?;
        for ((name, points), color) in lines.iter().zip(COLORS.iter().cycle()) {
            chart
                .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?
                .label(*name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2))
                });
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        area.present()?;
        Ok(())
    };
    draw().map_err(|error| anyhow!("`{}` can't be drawn: {error}", path.display()))
}
