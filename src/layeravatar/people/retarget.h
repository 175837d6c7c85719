// Motion of the CMU skeleton on the SMPL-X joints (spec/cc0_people.md section 3).
#pragma once
#include <cstdint>
#include <vector>

#include "layeravatar/body/pose_params.h"
#include "layeravatar/io/bvh.h"

namespace layeravatar::people {

/// Frames `first`, `first + step`, ... below `end` (-1: all). Frame 0 must show the T-pose, facing +z, as in the CMU
/// files. With R_j(f) the world rotation of the file's joint in frame f, SMPL-X joint j gets the world rotation
/// R_j(f) R_j(0)^T; fingers, jaw and eyes stay at rest. The root's path is left out: transl is canonical, betas are
/// zero. Throws Error(kInput) naming the file and the first joint that it lacks, Error(kConfig) for a wrong range.
std::vector<body::PoseParams> retarget(const io::Bvh& motion, std::int64_t first = 0, std::int64_t end = -1,
                                       std::int64_t step = 1);

}  // namespace layeravatar::people
