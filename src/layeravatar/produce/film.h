// Films that are made where they can be.
#pragma once
#include <filesystem>
#include <memory>
#include <vector>

#include "layeravatar/core/task_queue.h"
#include "layeravatar/io/video.h"
#include "layeravatar/produce/commands.h"

namespace layeravatar::produce {

/// Takes frames as they come and hands them on beside the caller's work; few are kept. Without an ffmpeg program, or for sizes that a film cannot have, one line says so and
/// there is no film; nothing stays without `commit`.
class Film {
 public:
  Film(std::filesystem::path file, double fps, Say say);
  /// Throws what an earlier frame failed with.
  void add(std::shared_ptr<const io::Image> frame);
  /// Adds the film to the files written.
  void commit(std::vector<std::filesystem::path>& written);

 private:
  std::filesystem::path file_;
  double fps_;
  Say say_;
  bool open_ = false;
  std::unique_ptr<io::VideoWriter> writer_;
  TaskQueue queue_;  // behind the writer: ends before it
};

}  // namespace layeravatar::produce
