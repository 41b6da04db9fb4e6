//! An evaluation as one HTML file that needs nothing else.

use std::fmt::Write;

use adem_data::image::{RgbImage, resize_bicubic};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::ImageEncoder;
use image::codecs::jpeg::JpegEncoder;

use super::report::{CaptionReport, Judged};

/// Longer side of a picture on the page, pixels.
const SIDE: u32 = 192;
const QUALITY: u8 = 80;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.45 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse}td{padding:.1rem .8rem .1rem 0}td+td{text-align:right}\
article{display:flex;gap:1rem;margin:1.2rem 0;flex-wrap:wrap}\
article>div{flex:1 1 18rem}img{max-width:192px;align-self:flex-start}\
.ours{font-weight:600;margin:0}ul{margin:.3rem 0;padding-left:1.2rem}\
small{opacity:.7}";

/// A small copy of a picture as JPEG; `None` where it cannot be encoded.
pub(super) fn thumbnail(picture: &RgbImage) -> Option<Vec<u8>> {
    let (width, height) = picture.dimensions();
    let scale = f64::from(SIDE) / f64::from(width.max(height).max(1));
    let side = |n: u32| ((f64::from(n) * scale).round() as u32).max(1);
    let small = match scale < 1.0 {
        true => resize_bicubic(picture, side(width), side(height)),
        false => picture.clone(),
    };
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .write_image(
            &small,
            small.width(),
            small.height(),
            image::ExtendedColorType::Rgb8,
        )
        .ok()?;
    Some(bytes)
}

impl CaptionReport {
    /// The report as an HTML page: scores, then every picture with our caption, those of people and
    /// its CIDEr-D, the worst first. Pictures are inside the file where the evaluation kept them.
    pub fn html(&self) -> String {
        let title = escaped(&self.title());
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n<h1>{title}</h1>\n<table>\n"
        );
        let mut put = |text: std::fmt::Arguments<'_>| {
            // Writing to a string cannot fail.
            let _ = page.write_fmt(text);
        };
        for (name, value) in self.rows() {
            put(format_args!("<tr><td>{name}<td>{value}\n"));
        }
        put(format_args!("</table>\n"));
        let mut captions: Vec<&Judged> = self.captions.iter().collect();
        captions.sort_by(|a, b| a.metrics.cider.total_cmp(&b.metrics.cider));
        for judged in captions {
            put(format_args!("<article>\n"));
            if let Some(bytes) = &judged.thumbnail {
                let data = STANDARD.encode(bytes);
                put(format_args!(
                    "<img alt=\"{}\" src=\"data:image/jpeg;base64,{data}\">\n",
                    escaped(&judged.caption)
                ));
            }
            put(format_args!(
                "<div><p class=\"ours\">{}</p><small>{}, CIDEr-D {:.1}</small>\n<ul>\n",
                escaped(&judged.caption),
                escaped(&judged.id),
                100.0 * judged.metrics.cider
            ));
            for reference in &judged.references {
                put(format_args!("<li>{}\n", escaped(reference.trim())));
            }
            put(format_args!("</ul></div>\n</article>\n"));
        }
        put(format_args!("</html>\n"));
        page
    }
}

/// Text as it stands in HTML, attributes included.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::captions::Metrics;

    #[test]
    fn a_page_holds_pictures_and_texts_as_they_are_and_the_worst_first() {
        let wide = RgbImage::from_pixel(400, 100, image::Rgb([10, 200, 30]));
        let small = image::load_from_memory(&thumbnail(&wide).unwrap()).unwrap();
        assert_eq!((small.width(), small.height()), (192, 48));
        let judged = |id: &str, cider| Judged {
            id: id.to_owned(),
            caption: format!("<b>{id}</b> & \"more\""),
            references: vec!["a <script>".to_owned()],
            metrics: Metrics {
                cider,
                ..Metrics::default()
            },
            thumbnail: thumbnail(&wide),
        };
        let report = CaptionReport {
            model: "m".to_owned(),
            data: "d".to_owned(),
            pictures: 2,
            stopped: false,
            seconds: 1.0,
            metrics: Metrics::default(),
            distinct: 1.0,
            captions: vec![judged("good", 2.0), judged("bad", 0.5)],
        };
        let html = report.html();
        assert!(html.find("bad, CIDEr-D 50.0").unwrap() < html.find("good, CIDEr-D").unwrap());
        assert_eq!(html.matches("src=\"data:image/jpeg;base64,").count(), 2);
        assert!(html.contains("&lt;b&gt;bad&lt;/b&gt; &amp; &quot;more&quot;"));
        assert!(!html.contains("<script>") && !html.contains("<b>"));
    }
}
