// H.264 films made by the ffmpeg program through a pipe (no GPL library is linked).
#pragma once
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "layeravatar/io/png.h"

namespace layeravatar::io {

/// True when an `ffmpeg` program is on the PATH.
bool have_ffmpeg();

/// Frames in, an .mp4 under its final name out when `commit` is called; without it nothing stays.
/// Throws Error(kOutput): "<file>: ffmpeg failed: ..." or when there is no ffmpeg.
class VideoWriter {
 public:
  /// `width` and `height` must be even (4:2:0 chroma), `fps` positive: Error(kConfig).
  VideoWriter(std::filesystem::path path, int width, int height, double fps);
  ~VideoWriter();
  VideoWriter(const VideoWriter&) = delete;
  VideoWriter& operator=(const VideoWriter&) = delete;

  /// An RGB frame of the film's size; Error(kInternal) otherwise.
  void add(const Image& frame);
  void commit();

 private:
  std::filesystem::path path_, temporary_;
  int width_, height_;
  std::FILE* pipe_ = nullptr;
};

}  // namespace layeravatar::io
