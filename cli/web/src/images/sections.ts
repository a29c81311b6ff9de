/** Planes of stacks: kept where they were read, and cut along the other axes. */

import type { Pixels, Plane, Section, Stack } from './stack'

/** Planes that were read last, up to so many bytes. */
export class PlaneCache {
  private kept = new Map<string, Promise<Plane>>()
  private sizes = new Map<string, number>()
  private total = 0

  constructor(private readonly limit = 384 * 2 ** 20) {}

  get(key: string, read: () => Promise<Plane>): Promise<Plane> {
    const known = this.kept.get(key)
    if (known) {
      this.kept.delete(key)
      this.kept.set(key, known)
      return known
    }
    const plane = read()
    this.kept.set(key, plane)
    plane.then(
      (done) => this.count(key, done.data.byteLength),
      () => this.kept.delete(key),
    )
    return plane
  }

  private count(key: string, bytes: number) {
    this.sizes.set(key, bytes)
    this.total += bytes
    for (const oldest of this.kept.keys()) {
      if (this.total <= this.limit || oldest === key) break
      this.total -= this.sizes.get(oldest) ?? 0
      this.sizes.delete(oldest)
      this.kept.delete(oldest)
    }
  }
}

/** Where a plane lies: along the section's own axis `index`, counted from 0. */
export interface PlanePlace {
  section: Section
  t: number
  c: number
  index: number
}

/**
 * A plane through a stack: xy at z, xz at y, or yz at x. Rows of xz and yz run along z.
 *
 * Throws the signal's reason once it is aborted, between two planes.
 */
export async function section(stack: Stack, at: PlanePlace, signal?: AbortSignal): Promise<Plane> {
  const { t, c, index } = at
  if (at.section === 'xy') return stack.plane(t, c, index)
  const { x, y, z } = stack.sizes
  const width = at.section === 'xz' ? x : y
  let data: Pixels | null = null
  for (let k = 0; k < z; k++) {
    const plane = await stack.plane(t, c, k)
    signal?.throwIfAborted()
    data ??= new (plane.data.constructor as new (length: number) => Pixels)(width * z)
    if (at.section === 'xz') data.set(plane.data.subarray(index * x, (index + 1) * x) as never, k * x)
    else for (let row = 0; row < y; row++) data[k * y + row] = plane.data[row * x + index]!
  }
  return { data: data!, width, height: z }
}
