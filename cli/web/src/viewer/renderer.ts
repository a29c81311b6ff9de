/**
 * Planes drawn by WebGL2 in the numbers of their file.
 *
 * 8 and 16 bit planes are unsigned integer textures (R8UI, R16UI), everything else is R32F: window,
 * gamma and colours are computed for each pixel of the screen from the number that was measured.
 * Textures have a largest side, so that a plane is several of them where it is longer.
 */

import type { Pixels, Plane } from '../images/stack'
import type { Window } from '../images/statistics'

export interface Rect {
  x: number
  y: number
  width: number
  height: number
}

export type ColourMap = 'grey' | 'difference' | 'reliability'

/** A plane on the screen; all places in pixels of the screen from the upper left. */
export interface Picture {
  plane: Plane
  /** Where the whole plane would be. */
  at: Rect
  /** What of the screen it may cover. */
  clip: Rect
  window: Window
  gamma: number
  map: ColourMap
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
  } else if (map == 2) {
    vec3 low = mix(vec3(.16, .05, .25), vec3(.12, .38, .5), min(share * 2., 1.));
    colour = vec4(mix(low, vec3(.93, .95, .62), max(share * 2. - 1., 0.)), 1.);
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

export class Renderer {
  private gl: WebGL2RenderingContext
  private programs!: Record<'integer' | 'float', WebGLProgram>
  private uploaded = new Map<Plane, Uploaded>()
  private largest = 4096
  private last: Picture[] = []

  constructor(private readonly canvas: HTMLCanvasElement) {
    const gl = canvas.getContext('webgl2', { antialias: false, alpha: false, preserveDrawingBuffer: true })
    if (!gl) throw new Error('This browser has no WebGL 2, with which images are shown.')
    this.gl = gl
    this.prepare()
    canvas.addEventListener('webglcontextlost', (event) => event.preventDefault())
    canvas.addEventListener('webglcontextrestored', () => {
      this.uploaded.clear()
      this.prepare()
      this.draw(this.last)
    })
  }

  private prepare() {
    const { gl } = this
    this.largest = Math.min(4096, gl.getParameter(gl.MAX_TEXTURE_SIZE))
    this.programs = { integer: program(gl, 'usampler2D'), float: program(gl, 'sampler2D') }
    gl.bindVertexArray(gl.createVertexArray())
    gl.enable(gl.SCISSOR_TEST)
  }

  draw(pictures: Picture[]) {
    const { gl, canvas } = this
    this.last = pictures
    this.forget(new Set(pictures.map((one) => one.plane)))
    gl.viewport(0, 0, canvas.width, canvas.height)
    gl.scissor(0, 0, canvas.width, canvas.height)
    gl.clearColor(0.043, 0.047, 0.055, 1)
    gl.clear(gl.COLOR_BUFFER_BIT)
    for (const picture of pictures) this.show(picture)
  }

  private show({ plane, at, clip, window, gamma, map }: Picture) {
    const { gl, canvas } = this
    const { kind, tiles } = this.upload(plane)
    const used = this.programs[kind]
    const place = (name: string) => gl.getUniformLocation(used, name)
    gl.useProgram(used)
    gl.scissor(
      Math.round(clip.x),
      Math.round(canvas.height - clip.y - clip.height),
      Math.max(0, Math.round(clip.width)),
      Math.max(0, Math.round(clip.height)),
    )
    gl.uniform2f(place('screen'), canvas.width, canvas.height)
    gl.uniform2f(place('range'), window.low, window.high)
    gl.uniform1f(place('gamma'), gamma)
    gl.uniform1i(place('map'), { grey: 0, difference: 1, reliability: 2 }[map])
    gl.uniform1i(place('pixels'), 0)
    for (const { texture, part } of tiles) {
      gl.bindTexture(gl.TEXTURE_2D, texture)
      gl.uniform4f(
        place('at'),
        at.x + part.x * at.width,
        at.y + part.y * at.height,
        part.width * at.width,
        part.height * at.height,
      )
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4)
    }
  }

  private upload(plane: Plane): Uploaded {
    const known = this.uploaded.get(plane)
    if (known) return known
    const { gl, largest } = this
    const form = formOf(gl, plane.data)
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
        gl.texImage2D(gl.TEXTURE_2D, 0, form.inside, width, height, 0, form.format, form.type, form.data)
        tiles.push({
          texture,
          part: { x: x / plane.width, y: y / plane.height, width: width / plane.width, height: height / plane.height },
        })
      }
    const made: Uploaded = { kind: form.kind, tiles }
    this.uploaded.set(plane, made)
    return made
  }

  /** Frees textures of planes that are no longer shown. */
  private forget(shown: Set<Plane>) {
    for (const [plane, { tiles }] of this.uploaded) {
      if (shown.has(plane)) continue
      for (const tile of tiles) this.gl.deleteTexture(tile.texture)
      this.uploaded.delete(plane)
    }
  }
}

function formOf(gl: WebGL2RenderingContext, data: Pixels) {
  if (data instanceof Uint16Array)
    return { kind: 'integer' as const, inside: gl.R16UI, format: gl.RED_INTEGER, type: gl.UNSIGNED_SHORT, data }
  if (data instanceof Uint8Array)
    return { kind: 'integer' as const, inside: gl.R8UI, format: gl.RED_INTEGER, type: gl.UNSIGNED_BYTE, data }
  const floats = data instanceof Float32Array ? data : Float32Array.from(data)
  return { kind: 'float' as const, inside: gl.R32F, format: gl.RED, type: gl.FLOAT, data: floats }
}

function program(gl: WebGL2RenderingContext, sampler: string): WebGLProgram {
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
  return made
}
