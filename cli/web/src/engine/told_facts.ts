/** Facts as Python tells them (`zoo/serve/server_facts.py`), by a server or in a site's file. */

import type { Sample, Task } from './engine'

export interface ToldTask {
  name: string
  title: string
  summary: string
  input_axes: string
  output_axes: string
}

export type ToldSample = Omit<Sample, 'options'> & { settings: Record<string, number | string> }

export const taskOf = (told: ToldTask): Task => ({ ...told, input: told.input_axes, output: told.output_axes })

export function sampleOf({ settings, ...sample }: ToldSample): Sample {
  return { ...sample, options: Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(value)])) }
}
