/** A stack through a network, tile by tile: as `unifmir.restoration.tile_inference` for files. */

import { ImageError } from '../images/stack'
import {
  batchFor,
  blended,
  lengthOf,
  pitchOf,
  readBox,
  sizeOf,
  sizeOut,
  tilesOf,
  voxels,
  type Box,
  type Geometry,
  type Limits,
  type Size,
} from './geometry'
import type { Volume } from './resampling'

/** Function of a network in its image interface: numbers and their shape in, the same out. */
export type Run = (data: Float32Array, shape: number[]) => Promise<{ data: Float32Array; shape: readonly number[] }>

export type Way = 'restore_planes' | 'restore_sub_stacks' | 'restore_volume' | 'restore_channels' | 'restore_isotropic'

export interface TiledNetwork extends Geometry {
  way: Way
  neighbours: number
}

/** A part of an image that is read for a part of its result. */
interface Block {
  volume: Volume
  read: Box
  write: Box
}

/** How a stack is cut; ImageError where it cannot be cut and does not fit. */
export function planned(network: TiledNetwork, size: Size, limits: Limits): { tiles: Box[]; runs: number; pitch: Size } {
  const pitch = pitchOf(network, size, limits)
  if (!pitch)
    throw new ImageError(
      `The image of ${size[2]} x ${size[1]} pixels must be restored whole, and that is more than this browser’s memory allows.`,
      'Crop it, or restore it with `unifmir restore`.',
    )
  const tiles = tilesOf(network, size, pitch)
  const runs = tiles.reduce((sum, tile) => sum + runsOf(network, reading(network, tile, size), limits), 0)
  return { tiles, runs, pitch }
}

function reading(network: TiledNetwork, tile: Box, size: Size): { read: Box; write: Box } {
  const write = network.ramp ? blended(network, tile, size).support : tile
  return { read: readBox(network, write, size), write }
}

function runsOf(network: TiledNetwork, { read, write }: { read: Box; write: Box }, limits: Limits): number {
  if (network.way === 'restore_volume' || network.way === 'restore_channels') return 1
  const batch = batchFor(network, sizeOf(read), limits)
  if (network.way !== 'restore_isotropic') return Math.ceil(lengthOf(write[0]) / batch)
  return Math.ceil(lengthOf(write[2]) / batch) + Math.ceil(lengthOf(write[1]) / batch)
}

/** All of a stack's result, in the network's units. */
export async function restoreStack(
  volume: Volume,
  network: TiledNetwork,
  run: Run,
  limits: Limits,
  onRun: () => void,
): Promise<Volume> {
  const size = sizeOut(network, volume.size)
  const data = new Float32Array(voxels(size))
  const told: Run = async (given, shape) => {
    const found = await run(given, shape)
    onRun()
    return found
  }
  for (const tile of planned(network, volume.size, limits).tiles) {
    const { read, write } = reading(network, tile, volume.size)
    const part = await restoreBlock({ volume, read, write }, network, told, batchFor(network, sizeOf(read), limits))
    const share = network.ramp ? blended(network, tile, volume.size) : null
    const [planes, rows, columns] = sizeOf(write)
    for (let z = 0; z < planes; z++)
      for (let y = 0; y < rows; y++) {
        const from = (z * rows + y) * columns
        const to = ((write[0][0] + z) * size[1] + write[1][0] + y) * size[2] + write[2][0]
        if (!share) data.set(part.subarray(from, from + columns), to)
        else
          for (let x = 0; x < columns; x++)
            data[to + x] = data[to + x]! + part[from + x]! * Math.fround(share.rows[y]! * share.columns[x]!)
      }
  }
  return { data, size }
}

function restoreBlock(block: Block, network: TiledNetwork, run: Run, batch: number): Promise<Float32Array> {
  switch (network.way) {
    case 'restore_planes':
      return planeByPlane(block, network, run, batch)
    case 'restore_sub_stacks':
      return subStacks(block, network, run, batch)
    case 'restore_isotropic':
      return sections(block, network, run, batch)
    case 'restore_volume':
      return allAtOnce(block, network, run, ([z, y, x]) => [1, 1, z, y, x])
    case 'restore_channels':
      return allAtOnce(block, network, run, ([z, y, x]) => [1, z, y, x])
  }
}

/** Every plane by itself. */
async function planeByPlane(block: Block, network: TiledNetwork, run: Run, batch: number): Promise<Float32Array> {
  const found = new Float32Array(voxels(sizeOf(block.write)))
  const [planes] = sizeOf(block.write)
  for (let first = 0; first < planes; first += batch) {
    const end = Math.min(planes, first + batch)
    const given = partOf(block, [block.write[0][0] + first, block.write[0][0] + end])
    const made = await checked(run, given.data, [end - first, 1, given.size[1], given.size[2]], network)
    place(made, 0, found, first, end - first, block, network.scale)
  }
  return found
}

/** Planes with their neighbours around them, which the network finds. */
async function subStacks(block: Block, network: TiledNetwork, run: Run, batch: number): Promise<Float32Array> {
  const found = new Float32Array(voxels(sizeOf(block.write)))
  const [planes] = sizeOf(block.write)
  for (let part = 0; part < planes; part += batch) {
    const first = block.write[0][0] + part
    const end = block.write[0][0] + Math.min(planes, part + batch)
    const start = Math.max(block.read[0][0], first - network.neighbours)
    const stop = Math.min(block.read[0][1], end + network.neighbours)
    const given = partOf(block, [start, stop])
    const made = await checked(run, given.data, [1, 1, ...given.size], network)
    place(made, first - start, found, part, end - first, block, network.scale)
  }
  return found
}

/** Sections along z, of each column and then of each row, whose results are combined. */
async function sections(block: Block, network: TiledNetwork, run: Run, batch: number): Promise<Float32Array> {
  const [planes, rows, columns] = sizeOf(block.write)
  const found = new Float32Array(planes * rows * columns).fill(1)
  for (const axis of [2, 1] as const) {
    const [number, along] = axis === 2 ? [columns, rows] : [rows, columns]
    const other = axis === 2 ? 1 : 2
    for (let first = 0; first < number; first += batch) {
      const count = Math.min(number, first + batch) - first
      const given = sectionsOf(block, axis, block.write[axis][0] + first, count)
      const made = await checked(run, given.data, [count, 1, given.size[1], given.size[2]], network)
      const [top, left] = [block.write[other][0] - block.read[other][0], block.write[0][0] - block.read[0][0]]
      for (let section = 0; section < count; section++)
        for (let at = 0; at < along; at++)
          for (let z = 0; z < planes; z++) {
            const [row, column] = axis === 2 ? [at, first + section] : [first + section, at]
            const to = (z * rows + row) * columns + column
            const value = made.data[(section * made.rows + top + at) * made.columns + left + z]!
            found[to] = found[to]! * Math.max(value, 0)
          }
    }
  }
  return found.map(Math.sqrt)
}

/** Sections of what a block reads: images whose columns are z, of rows y for columns, x for rows. */
function sectionsOf({ volume, read }: Block, axis: 1 | 2, first: number, count: number): Volume {
  const other = axis === 2 ? 1 : 2
  const [along, depth] = [lengthOf(read[other]), lengthOf(read[0])]
  const data = new Float32Array(count * along * depth)
  for (let section = 0; section < count; section++)
    for (let at = 0; at < along; at++)
      for (let z = 0; z < depth; z++) {
        const [row, column] = axis === 2 ? [read[1][0] + at, first + section] : [first + section, read[2][0] + at]
        data[(section * along + at) * depth + z] = volume.data[((read[0][0] + z) * volume.size[1] + row) * volume.size[2] + column]!
      }
  return { data, size: [count, along, depth] }
}

/** All that is read in one run. */
async function allAtOnce(
  block: Block,
  network: TiledNetwork,
  run: Run,
  shape: (size: Size) => number[],
): Promise<Float32Array> {
  const given = partOf(block, block.read[0])
  const made = await checked(run, given.data, shape(given.size), network)
  const [planes] = sizeOf(block.write)
  const found = new Float32Array(voxels(sizeOf(block.write)))
  const first = made.planes === planes ? block.write[0][0] : block.read[0][0]
  place(made, block.write[0][0] - first, found, 0, planes, block, network.scale)
  return found
}

/** Planes of the part that a block reads. */
function partOf({ volume, read }: Block, [first, end]: readonly [number, number]): Volume {
  const [rows, columns] = [lengthOf(read[1]), lengthOf(read[2])]
  const data = new Float32Array((end - first) * rows * columns)
  for (let z = first; z < end; z++)
    for (let y = read[1][0]; y < read[1][1]; y++) {
      const from = (z * volume.size[1] + y) * volume.size[2]
      const to = ((z - first) * rows + y - read[1][0]) * columns
      data.set(volume.data.subarray(from + read[2][0], from + read[2][1]), to)
    }
  return { data, size: [end - first, rows, columns] }
}

interface Made {
  data: Float32Array
  planes: number
  rows: number
  columns: number
}

async function checked(run: Run, data: Float32Array, shape: number[], network: TiledNetwork): Promise<Made> {
  const made = await run(data, shape)
  const [rows, columns] = made.shape.slice(-2) as [number, number]
  const [wantedRows, wantedColumns] = shape.slice(-2).map((length) => length * network.scale)
  if (rows !== wantedRows || columns !== wantedColumns)
    throw new ImageError(
      `The model gave ${columns} x ${rows} pixels, expected ${wantedColumns} x ${wantedRows}.`,
      'The site’s files do not belong together: make it again with `unifmir zoo site`.',
    )
  for (let at = 0; at < made.data.length; at++)
    if (!Number.isFinite(made.data[at]!))
      throw new ImageError('The model gave NaN or infinite pixels.', 'Its weights are damaged: make the site again.')
  return { data: made.data, planes: made.data.length / (rows * columns), rows, columns }
}

/** Cuts the wanted rows and columns of planes out of what a run gave. */
function place(made: Made, from: number, found: Float32Array, to: number, count: number, block: Block, scale: number) {
  const [, rows, columns] = sizeOf(block.write)
  const top = block.write[1][0] - block.read[1][0] * scale
  const left = block.write[2][0] - block.read[2][0] * scale
  for (let z = 0; z < count; z++)
    for (let y = 0; y < rows; y++) {
      const at = ((from + z) * made.rows + top + y) * made.columns + left
      found.set(made.data.subarray(at, at + columns), ((to + z) * rows + y) * columns)
    }
}
