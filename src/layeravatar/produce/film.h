// Films that are made where they can be.
#pragma once
#include <filesystem>
#include <memory>
#include <vector>

#include "layeravatar/core/task_queue.h"
#include "layeravatar/io/video.h"
#include "layeravatar/produce/commands.h"
#include "layeravatar/produce/release_files.h"

namespace layeravatar::produce {

/// Takes frames as they come and hands them on beside the caller's work; few are kept. Without an ffmpeg program, or for sizes that a film cannot have, one line says so and
/// there is no film; nothing stays without `commit`.
class Film {
 public:
  Film(std::filesystem::path file, double fps, Say say);
  /// Waits elsewhere for a frame that is not there yet; one that never comes is passed over: who should have made it tells why. Throws what an
  /// earlier frame failed with.
  void add(ViewWriter::Picture frame);
  /// Several side by side.
  void add(std::vector<ViewWriter::Picture> frames);
  /// Adds the film to the files written.
  void commit(std::vector<std::filesystem::path>& written);

 private:
  void write(const io::Image& frame);

  std::filesystem::path file_;
  double fps_;
  Say say_;
  bool open_ = false;  // touched by the queue alone until `commit`
  std::unique_ptr<io::VideoWriter> writer_;
  TaskQueue queue_;  // behind the writer: ends before it
};

}  // namespace layeravatar::produce
