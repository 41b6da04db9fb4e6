// Rows read four numbers at a time. Part of shaders that are generic over Vector.

alias Vector = vec4<f32>;

fn total(v: Vector) -> f32 {
    return dot(v, Vector(1.0));
}
