/** Facts of a network that `unifmir zoo site` writes for the browser (`zoo/site/browser_network.py`). */

import type { Normalization } from './scaling'
import type { TiledNetwork } from './tiles'

export interface Network extends TiledNetwork, Normalization {
  task: string
  input_name: string
  output_name: string
  result_axes: string
  intensity: 'percentile' | 'matched' | 'local'
  low_frequency_px: number
  counterpart: 'stack' | 'maximum'
  /** Planes that an image must have; null: any number. */
  planes_read: number | null
  lens_px: number
  /** Whether planes have to lie as far apart as pixels. */
  isotropic: boolean
}
