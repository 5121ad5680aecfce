// A table is fitted, its columns by name, and the fit predicts a row that it has not seen.

import { fit, openGpu, predict } from 'deep-rfm';

// The price is that of the area, by a rate for the city. The last column says nothing.
const rows = Array.from({ length: 90 }, (_, i) => ({
  area: 100 + 60 * Math.sin(i * i),
  city: ['Bonn', 'Köln', 'Ulm'][i % 3],
  noise: Math.cos(i * i * i),
}));
const column = (name) => rows.map((row) => row[name]);
const table = { area: column('area'), city: column('city'), noise: column('noise') };
const price = rows.map(({ area, city }) => area * { Bonn: 3, Köln: 2, Ulm: 1 }[city]);

const gpu = await openGpu();
try {
  const { model, best, importances } = await fit(gpu, table, price, { iterations: 2, validation: 0.3 });
  const [{ feature }] = importances;
  console.log(`R² ${best.validation.r2.toFixed(2)} after ${best.iteration} updates of M; ${feature} counts most`);
  const { scores } = await predict(gpu, model, { area: [120], city: ['Bonn'], noise: [0] });
  console.log(`120 m² in Bonn: ${scores[0].toFixed(0)}`);
} finally {
  await gpu.close();
}
