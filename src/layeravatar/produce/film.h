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

/// Takes frames as they come and hands them on beside the caller's work; 32 MB of them are kept, four at least. Without an ffmpeg program, or for sizes that a film cannot have, one line says so and
/// there is no film; nothing stays without `commit`.
class Film {
 public:
  /// Frames of width x height. The encoder starts at once.
  Film(std::filesystem::path file, int width, int height, double fps, Say say);
  /// Waits elsewhere for a frame that is not there yet; one that never comes is passed over: who should have made it tells why. Throws what an
  /// earlier frame failed with.
  void add(ViewWriter::Picture frame);
  /// Several side by side.
  void add(std::vector<ViewWriter::Picture> frames);
  /// Adds the film to the files written.
  void commit(std::vector<std::filesystem::path>& written);

 private:
  std::filesystem::path file_;
  std::unique_ptr<io::VideoWriter> writer_;  // touched by the queue alone until `commit`; null: no film
  TaskQueue queue_;  // behind the writer: ends before it
};

}  // namespace layeravatar::produce
