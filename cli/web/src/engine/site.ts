/** What `unifmir zoo site` writes in place of a server's answers (`zoo/site/building.py`). */

import type { Network } from '../restoration/network'
import type { Facts, Model, Pictures, Table } from './engine'
import type { ToldSample, ToldTask } from './told_facts'

export interface SiteNetwork {
  model: string
  file: string
  bytes: number
  sha256: string
  facts: Network
  pictures: Pictures
}

export interface Site {
  id: string
  format: 1
  version: string
  tasks: ToldTask[]
  models: (Omit<Model, 'measured'> & { measured?: Model['measured'] })[]
  entries: Record<string, Facts>
  samples: (ToldSample & { file: string })[]
  benchmarks: Table[]
  networks: SiteNetwork[]
}
