// Rows read number by number, for widths that are no multiple of four. Part of shaders that are
// generic over Vector.

alias Vector = f32;

fn total(v: Vector) -> f32 {
    return v;
}
