// A workgroup is one subgroup: no barrier, which on lavapipe takes as long as the rest of a row's work.
enable subgroups;

fn sumOfWorkers(index: u32, value: vec4f) -> vec4f { return subgroupAdd(value); }
