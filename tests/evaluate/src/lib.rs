//! Measures how well the built-in detections find what they should, in made-up worlds.
