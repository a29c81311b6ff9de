/**
 * Planes drawn by WebGL2 in the numbers of their file.
 *
 * 8 and 16 bit planes are unsigned integer textures (R8UI, R16UI), everything else is R32F: window,
 * gamma and colours are computed for each pixel of the screen from the number that was measured.
 * Textures have a largest side, so that a plane is several of them where it is longer. In the worker that
 * draws: calls of WebGL wait for the GPU wherever it is slower than what asks.
 */

import type { ShownPlane } from '../images/stack'
import type { Window } from '../images/window'
import type { Extent } from './viewport'

export interface Rect {
  x: number
  y: number
  width: number
  height: number
}

export type ColourMap = 'grey' | 'difference'

/** A plane on the screen; all places in pixels of the screen from the upper left. */
export interface Picture<P = ShownPlane> {
  plane: P
  /** Where the whole plane would be. */
  at: Rect
  /** What of the screen it may cover. */
  clip: Rect
  window: Window
  gamma: number
  map: ColourMap
}

/** The numbers of a plane as a texture takes them. */
export type TexturePlane = Pick<ShownPlane, 'texture' | 'width' | 'height'>

/** All that is on the screen; planes by their numbers. */
export interface Scene {
  screen: Extent
  pictures: Picture<number>[]
  /** Planes that may be drawn again. */
  kept: number[]
}

const VERTEX = `#version 300 es
uniform vec4 at;
uniform vec2 screen;
out vec2 place;
void main() {
  place = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  vec2 pixel = at.xy + place * at.zw;
  gl_Position = vec4(pixel.x / screen.x * 2. - 1., 1. - pixel.y / screen.y * 2., 0., 1.);
}`

const FRAGMENT = `#version 300 es
precision highp float;
precision highp int;
precision highp SAMPLER;
uniform SAMPLER pixels;
uniform vec4 at;
uniform vec2 range;
uniform float gamma;
uniform int map;
in vec2 place;
out vec4 colour;

float value(ivec2 texel) {
  ivec2 size = textureSize(pixels, 0);
  return float(texelFetch(pixels, clamp(texel, ivec2(0), size - 1), 0).r);
}

void main() {
  vec2 size = vec2(textureSize(pixels, 0));
  // Pixels of the image under one of the screen: their mean, of at most 6 x 6, else the one.
  vec2 span = size / at.zw;
  ivec2 steps = clamp(ivec2(ceil(span - .01)), ivec2(1), ivec2(6));
  vec2 corner = place * size - span * .5;
  float sum = 0.;
  for (int j = 0; j < steps.y; j++)
    for (int i = 0; i < steps.x; i++)
      sum += value(ivec2(floor(corner + span * (vec2(i, j) + .5) / vec2(steps))));
  float mean = sum / float(steps.x * steps.y);
  if (isnan(mean)) { colour = vec4(.45, .1, .3, 1.); return; }
  float share = clamp((mean - range.x) / (range.y - range.x), 0., 1.);
  if (map == 1) {
    float side = share * 2. - 1.;
    vec3 end = side < 0. ? vec3(.35, .66, 1.) : vec3(1., .62, .25);
    colour = vec4(mix(vec3(.06), end, pow(abs(side), gamma)), 1.);
  } else {
    colour = vec4(vec3(pow(share, gamma)), 1.);
  }
}`

interface Tile {
  texture: WebGLTexture
  /** Fractions of the plane. */
  part: Rect
}

interface Uploaded {
  kind: 'integer' | 'float'
  tiles: Tile[]
}

const UNIFORMS = ['at', 'screen', 'range', 'gamma', 'map', 'pixels'] as const

interface Program {
  program: WebGLProgram
  places: Record<(typeof UNIFORMS)[number], WebGLUniformLocation | null>
}

export class Renderer {
  private gl: WebGL2RenderingContext
  private programs!: Record<'integer' | 'float', Program>
  private planes = new Map<number, TexturePlane>()
  private uploaded = new Map<number, Uploaded>()
  private largest = 4096
  private last: Scene | null = null
  private frame = 0

  constructor(private readonly canvas: OffscreenCanvas) {
    const gl = canvas.getContext('webgl2', { antialias: false, alpha: false })
    if (!gl) throw new Error('This browser has no WebGL 2, with which images are shown.')
    this.gl = gl
    this.prepare()
    canvas.addEventListener('webglcontextlost', (event) => event.preventDefault())
    canvas.addEventListener('webglcontextrestored', () => {
      this.uploaded.clear()
      this.prepare()
      if (this.last) this.draw(this.last)
    })
  }

  add(id: number, plane: TexturePlane) {
    this.planes.set(id, plane)
  }

  private prepare() {
    const { gl } = this
    this.largest = Math.min(4096, gl.getParameter(gl.MAX_TEXTURE_SIZE))
    this.programs = { integer: program(gl, 'usampler2D'), float: program(gl, 'sampler2D') }
    gl.bindVertexArray(gl.createVertexArray())
    gl.enable(gl.SCISSOR_TEST)
  }

  /** Draws with the screen's next frame; of what is asked for until then the last alone. */
  draw(scene: Scene) {
    this.last = scene
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0
      this.drawNow(this.last!)
    })
  }

  private drawNow({ screen, pictures, kept }: Scene) {
    const { gl, canvas } = this
    if (canvas.width !== screen.width || canvas.height !== screen.height) {
      canvas.width = screen.width
      canvas.height = screen.height
    }
    this.forget(new Set([...kept, ...pictures.map((one) => one.plane)]))
    gl.viewport(0, 0, canvas.width, canvas.height)
    gl.scissor(0, 0, canvas.width, canvas.height)
    gl.clearColor(0.043, 0.047, 0.055, 1)
    gl.clear(gl.COLOR_BUFFER_BIT)
    for (const picture of pictures) this.show(picture)
  }

  private show({ plane, at, clip, window, gamma, map }: Picture<number>) {
    const { gl, canvas } = this
    const { kind, tiles } = this.upload(plane)
    const { program, places } = this.programs[kind]
    gl.useProgram(program)
    gl.scissor(
      Math.round(clip.x),
      Math.round(canvas.height - clip.y - clip.height),
      Math.max(0, Math.round(clip.width)),
      Math.max(0, Math.round(clip.height)),
    )
    gl.uniform2f(places.screen, canvas.width, canvas.height)
    gl.uniform2f(places.range, window.low, window.high)
    gl.uniform1f(places.gamma, gamma)
    gl.uniform1i(places.map, { grey: 0, difference: 1 }[map])
    gl.uniform1i(places.pixels, 0)
    for (const { texture, part } of tiles) {
      gl.bindTexture(gl.TEXTURE_2D, texture)
      gl.uniform4f(
        places.at,
        at.x + part.x * at.width,
        at.y + part.y * at.height,
        part.width * at.width,
        part.height * at.height,
      )
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4)
    }
  }

  private upload(id: number): Uploaded {
    const known = this.uploaded.get(id)
    if (known) return known
    const { gl, largest } = this
    const plane = this.planes.get(id)!
    const form = formOf(gl, plane.texture)
    const tiles: Tile[] = []
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1)
    gl.pixelStorei(gl.UNPACK_ROW_LENGTH, plane.width)
    for (let y = 0; y < plane.height; y += largest)
      for (let x = 0; x < plane.width; x += largest) {
        const width = Math.min(largest, plane.width - x)
        const height = Math.min(largest, plane.height - y)
        const texture = gl.createTexture()!
        gl.bindTexture(gl.TEXTURE_2D, texture)
        gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST)
        gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST)
        gl.pixelStorei(gl.UNPACK_SKIP_PIXELS, x)
        gl.pixelStorei(gl.UNPACK_SKIP_ROWS, y)
        gl.texImage2D(gl.TEXTURE_2D, 0, form.inside, width, height, 0, form.format, form.type, plane.texture)
        tiles.push({
          texture,
          part: { x: x / plane.width, y: y / plane.height, width: width / plane.width, height: height / plane.height },
        })
      }
    const made: Uploaded = { kind: form.kind, tiles }
    this.uploaded.set(id, made)
    return made
  }

  /** Frees planes that are no longer shown. */
  private forget(shown: Set<number>) {
    for (const id of this.planes.keys()) {
      if (shown.has(id)) continue
      for (const tile of this.uploaded.get(id)?.tiles ?? []) this.gl.deleteTexture(tile.texture)
      this.uploaded.delete(id)
      this.planes.delete(id)
    }
  }
}

function formOf(gl: WebGL2RenderingContext, data: ShownPlane['texture']) {
  if (data instanceof Uint16Array)
    return { kind: 'integer' as const, inside: gl.R16UI, format: gl.RED_INTEGER, type: gl.UNSIGNED_SHORT }
  if (data instanceof Uint8Array)
    return { kind: 'integer' as const, inside: gl.R8UI, format: gl.RED_INTEGER, type: gl.UNSIGNED_BYTE }
  return { kind: 'float' as const, inside: gl.R32F, format: gl.RED, type: gl.FLOAT }
}

function program(gl: WebGL2RenderingContext, sampler: string): Program {
  const made = gl.createProgram()!
  for (const [type, source] of [
    [gl.VERTEX_SHADER, VERTEX],
    [gl.FRAGMENT_SHADER, FRAGMENT.replaceAll('SAMPLER', sampler)],
  ] as const) {
    const shader = gl.createShader(type)!
    gl.shaderSource(shader, source)
    gl.compileShader(shader)
    gl.attachShader(made, shader)
  }
  gl.linkProgram(made)
  if (!gl.getProgramParameter(made, gl.LINK_STATUS))
    throw new Error(`Images cannot be shown: ${gl.getProgramInfoLog(made)}`)
  // Asked for once: each question waits for the GPU.
  const places = Object.fromEntries(UNIFORMS.map((name) => [name, gl.getUniformLocation(made, name)])) as Program['places']
  return { program: made, places }
}
