// Matrix products of bfloat16 on the tile registers of AMX.
#include "layeravatar/diffusion/kernels/convolution_steps.h"

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#define LAV_TILES __attribute__((target("amx-tile,amx-bf16")))
#endif

namespace layeravatar::diffusion {

#ifdef LAV_TILES
namespace {

bool ask_for_tiles() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kBf16 = 1U << 22, kTile = 1U << 24;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kBf16) == 0 || (d & kTile) == 0) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM of arch_prctl(2)
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Sums in tiles 0 to 3, left operands in 4 and 5, right ones in 6 and 7.
template <int kLefts, int kRights>
LAV_TILES void multiply(const TileProduct& p) {
  constexpr std::ptrdiff_t kRowBytes = 64, kTileSize = 512;
  _tile_zero(0);
  if constexpr (kRights == 2) _tile_zero(1);
  if constexpr (kLefts == 2) _tile_zero(2);
  if constexpr (kLefts == 2 && kRights == 2) _tile_zero(3);
  const std::uint16_t* b = p.right;
  for (int k = 0; k < p.depth; ++k, b += kRights * kTileSize) {
    _tile_loadd(6, b, kRowBytes);
    if constexpr (kRights == 2) _tile_loadd(7, b + kTileSize, kRowBytes);
    _tile_loadd(4, p.left[0] + p.offsets[k], p.left_row);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kRights == 2) _tile_dpbf16ps(1, 4, 7);
    if constexpr (kLefts == 2) {
      _tile_loadd(5, p.left[1] + p.offsets[k], p.left_row);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (kRights == 2) _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, p.result[0][0], kRowBytes);
  if constexpr (kRights == 2) _tile_stored(1, p.result[0][1], kRowBytes);
  if constexpr (kLefts == 2) _tile_stored(2, p.result[1][0], kRowBytes);
  if constexpr (kLefts == 2 && kRights == 2) _tile_stored(3, p.result[1][1], kRowBytes);
}

}  // namespace

bool has_tiles() {
  static const bool answer = ask_for_tiles();
  return answer;
}

LAV_TILES void take_tiles() {
  static const TileConfig config;
  _tile_loadconfig(&config);
}

LAV_TILES void release_tiles() { _tile_release(); }

void multiply_tiles(const TileProduct& p) {
  if (p.lefts == 2)
    p.rights == 2 ? multiply<2, 2>(p) : multiply<2, 1>(p);
  else
    p.rights == 2 ? multiply<1, 2>(p) : multiply<1, 1>(p);
}
#else
bool has_tiles() { return false; }
void take_tiles() {}
void release_tiles() {}
void multiply_tiles(const TileProduct&) {}
#endif

}  // namespace layeravatar::diffusion
