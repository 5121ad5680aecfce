// Rows of `bands`, the numbers that each step of the bidiagonalisation leaves: the diagonal and the band below it, τ of both
// reflectors, x · u.

const DIAGONAL = 0u;
const BELOW = 1u;
const TAU_RIGHT = 2u;
const TAU_LEFT = 3u;
const INNER = 4u;
