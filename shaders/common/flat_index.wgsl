// The number of an invocation in a flat run of workgroups of 64, laid out in two dimensions (`flatGrid` in tensor.ts).
fn flatIndex(group: vec3u, groups: vec3u, local: u32) -> u32 { return (group.y * groups.x + group.x) * 64u + local; }
